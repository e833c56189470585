/** The messages of the copy, what becomes of them, and sums by which a topic can be compared with what it should hold. */
import { crc32 } from 'node:zlib';
import type { MapperConfig } from '@tributary/contracts/mapper';

export interface Message {
  readonly key: string;
  readonly value: string;
}

const events = ['page_view', 'add_to_cart', 'purchase', 'signup', 'logout'];
const browsers = ['firefox', 'chrome', 'safari'];
const countries = ['DE', 'US', 'FR', 'JP', 'BR'];

const pick = (list: readonly string[], index: number): string => list[index % list.length] ?? '';

/** Spreads `id` over 32 bits, always in the same way (the finaliser of MurmurHash3). */
const scramble = (id: number): number => {
  let hash = Math.imul(id ^ (id >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
};

/** Message number `id`: a user's event of about 250 bytes, keyed by the user. The same for every run. */
export const messageOf = (id: number): Message => {
  const random = scramble(id);
  const key = `u_${String(random % 1_000_000).padStart(7, '0')}`;
  const value = JSON.stringify({
    id,
    user_id: key,
    event_type: pick(events, id),
    ts: new Date(1_700_000_000_000 + id * 137).toISOString(),
    amount: (random % 100_000) / 100,
    props: {
      browser: pick(browsers, random),
      country: pick(countries, random >>> 3),
      page: `/p/${random % 10_000}`,
      session: `${random.toString(16).padStart(8, '0')}${scramble(random).toString(16).padStart(8, '0')}`,
      ref: `https://shop.example.org/c/${random % 9973}`,
      ab: { exp: `x${id % 7}`, variant: id % 2 },
    },
  });
  return { key, value };
};

/** Six fields, two of them nested. The peers do the same by their own means. */
export const mapper: MapperConfig = [
  { key: 'id', path: '$.id' },
  { key: 'userId', path: '$.user_id', primary_key: true },
  { key: 'event', path: '$.event_type' },
  { key: 'at', path: '$.ts' },
  { key: 'country', path: '$.props.country' },
  { key: 'variant', path: '$.props.ab.variant' },
];

/** What the mapper should make of a message; written apart from it, so that it can tell. */
export const mappedOf = (text: string): Readonly<Record<string, unknown>> => {
  const { id, user_id, event_type, ts, props } = JSON.parse(text) as {
    id: number;
    user_id: string;
    event_type: string;
    ts: string;
    props: { country: string; ab: { variant: number } };
  };
  return { id, userId: user_id, event: event_type, at: ts, country: props.country, variant: props.ab.variant };
};

/** Sums of the CRC-32 of each field's `id=value`: equal however the messages are ordered. */
export type FieldSums = Map<string, number>;

/** Below what a double holds exactly. */
const modulus = 2 ** 48;

export const addField = (sums: FieldSums, field: string, id: number, value: string): void => {
  sums.set(field, ((sums.get(field) ?? 0) + crc32(`${id}=${value}`)) % modulus);
};

/** Adds a mapped message, its key among the fields. */
export const addMapped = (sums: FieldSums, key: string, row: Readonly<Record<string, unknown>>): void => {
  const id = row['id'] as number;
  addField(sums, 'key', id, key);
  for (const field in row) addField(sums, field, id, JSON.stringify(row[field]));
};

/** Adds an untouched message. */
export const addUntouched = (sums: FieldSums, key: string, id: number, text: string): void => {
  addField(sums, 'key', id, key);
  addField(sums, 'whole message', id, text);
};
