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
