/** The payload of rejected rows. */

/** Longest payload, in bytes of UTF-8. */
export const payloadLimit = 64 * 1024;

/** `text` cut to `limit` bytes of UTF-8, never inside a character. */
export const cutText = (text: string, limit: number = payloadLimit): string => {
  if (text.length * 3 <= limit || Buffer.byteLength(text) <= limit) return text;
  const bytes = Buffer.from(text);
  let end = limit;
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return bytes.toString('utf8', 0, end);
};

const base64Prefix = 'base64:';

/** Bytes that are no text: `base64:…`, cut so that it still decodes. */
export const bytesPayload = (bytes: Buffer): string =>
  base64Prefix + bytes.subarray(0, Math.floor((payloadLimit - base64Prefix.length) / 4) * 3).toString('base64');
