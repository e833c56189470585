/** Bytes of a record to text, and to the payload of a rejected row. */
import { isAscii, isUtf8 } from 'node:buffer';
import { bytesPayload, cutText } from '@tributary/connector-sdk/payload';

export const encodings = ['utf-8', 'latin1', 'utf-16le'] as const;
export type Encoding = (typeof encodings)[number];

export const unitOf = (encoding: Encoding): 1 | 2 => (encoding === 'utf-16le' ? 2 : 1);

/** Bytes of the byte order mark at the start of a file; a mark of another encoding is an answer of its own. */
export const byteOrderMark = (start: Buffer, encoding: Encoding): number | 'other' => {
  const utf16 = (start[0] === 0xff && start[1] === 0xfe) || (start[0] === 0xfe && start[1] === 0xff);
  const utf8 = start[0] === 0xef && start[1] === 0xbb && start[2] === 0xbf;
  if (encoding === 'utf-8') return utf8 ? 3 : utf16 ? 'other' : 0;
  if (encoding === 'utf-16le') return start[0] === 0xff && start[1] === 0xfe ? 2 : utf8 || utf16 ? 'other' : 0;
  return 0;
};

/** The text of `bytes`, or null when they are not of that encoding. */
export const decodeText = (bytes: Buffer, encoding: Encoding): string | null => {
  if (encoding === 'latin1') return bytes.toString('latin1');
  if (encoding === 'utf-8') return isUtf8(bytes) ? bytes.toString('utf8') : null;
  if (bytes.length % 2 !== 0) return null;
  const text = bytes.toString('utf16le');
  return text.isWellFormed() ? text : null;
};

/** Text whose index i is the code unit i of the bytes, so that records can be cut out of it; null when that is not so. */
export const decodeByUnit = (bytes: Buffer, encoding: Encoding): string | null => {
  if (encoding === 'utf-8') return isAscii(bytes) ? bytes.toString('latin1') : null;
  return decodeText(bytes, encoding);
};

/** A record as the payload of a rejected row: its text, else base64; at most 64 KiB. */
export const payloadOf = (bytes: Buffer, encoding: Encoding): string => {
  const text = decodeText(bytes, encoding);
  return text === null ? bytesPayload(bytes) : cutText(text);
};
