import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readIsoDateTime } from './iso.ts';
import { dateText, epochText, newMoment, timeText, utcText } from './moment.ts';
import { compileFormat } from './strftime.ts';

const utcOf = (format: string, text: string): string | undefined => {
  const moment = newMoment();
  return compileFormat(format, 'datetime')(text, moment) ? utcText(moment) : 'no';
};

test.each([
  ['%Y-%m-%d', '2024-01-31', '2024-01-31T00:00:00Z'],
  ['%d/%m/%Y', '31/1/2024', '2024-01-31T00:00:00Z'],
  ['%d.%m.%y %H:%M', '01.02.68 5:07', '2068-02-01T05:07:00Z'],
  ['%d.%m.%y', '01.02.69', '1969-02-01T00:00:00Z'],
  ['%Y%m%d%H%M%S', '20240131123456', '2024-01-31T12:34:56Z'],
  ['%Y-%m-%dT%H:%M:%S.%f%z', '2024-01-31T12:34:56.120000+0230', '2024-01-31T10:04:56.120000Z'],
  ['%Y-%m-%dT%H:%M:%S%z', '2024-01-31T23:34:56-05:00', '2024-02-01T04:34:56Z'],
  ['%Y-%m-%dT%H:%M:%S%z', '2024-01-31T23:34:56Z', '2024-01-31T23:34:56Z'],
  ['%d %b %Y', '31 jan 2024', '2024-01-31T00:00:00Z'],
  ['%d %B %Y', '3 September 2024', '2024-09-03T00:00:00Z'],
  ['%A, %d %B %Y', 'Tuesday, 3 SEPTEMBER 2024', '2024-09-03T00:00:00Z'],
  ['%a %b %d %H:%M:%S %Y', 'Tue May  7 01:02:03 2024', '2024-05-07T01:02:03Z'],
  ['%Y %j', '2024 366', '2024-12-31T00:00:00Z'],
  ['%Y %j', '2024 060', '2024-02-29T00:00:00Z'],
  ['%m/%d/%Y %I:%M %p', '1/31/2024 12:05 AM', '2024-01-31T00:05:00Z'],
  ['%m/%d/%Y %I:%M %p', '1/31/2024 12:05 pm', '2024-01-31T12:05:00Z'],
  ['%m/%d/%Y %I:%M %p', '1/31/2024 1:05 PM', '2024-01-31T13:05:00Z'],
  ['%s', '1517966773', '2018-02-07T01:26:13Z'],
  ['%s', '1517966773840', '2018-02-07T01:26:13.840Z'],
  ['%s', '-1', '1969-12-31T23:59:59Z'],
  ['%F %T', '2024-01-31 12:34:56', '2024-01-31T12:34:56Z'],
  ['%D %R', '01/31/24 12:34', '2024-01-31T12:34:00Z'],
  ['%Y-%m-%d %Z', '2024-01-31 UTC', '2024-01-31T00:00:00Z'],
  ['%-d.%-m.%Y', '1.2.2024', '2024-02-01T00:00:00Z'],
  ['%Y%%%m', '2024%02', '2024-02-01T00:00:00Z'],
])('%s reads %s', (format, text, expected) => {
  expect(utcOf(format, text)).toBe(expected);
});

test.each([
  ['%Y-%m-%d', '2024-02-30'],
  ['%Y-%m-%d', '2023-02-29'],
  ['%Y-%m-%d', '2024-13-01'],
  ['%Y-%m-%d', '2024-01-31 '],
  ['%Y-%m-%d', '2024-01'],
  ['%Y-%m-%d', '24-01-31'],
  ['%Y-%m-%d', '0000-01-31'],
  ['%Y-%m-%d', ''],
  ['%Y %b', '2024 Foo'],
  ['%Y %j', '2023 366'],
  ['%Y %j', '2023 0'],
  ['%Y %I %p', '2024 13 PM'],
  ['%Y %H', '2024 24'],
  ['%Y %M', '2024 60'],
  ['%Y %z', '2024 '],
  ['%Y %Z', '2024 CET'],
  ['%s', 'now'],
  ['%s', '999999999999999'],
])('%s refuses %j', (format, text) => {
  expect(utcOf(format, text)).toBe('no');
});

test.each([
  ['%Q', 'datetime', '%Q is not known'],
  ['%c', 'datetime', '%c is not known'],
  ['%Y-%', 'datetime', 'it ends with %'],
  ['%m-%d', 'date', 'a date needs %Y, %y or %s'],
  ['%H:%M', 'datetime', 'a datetime needs %Y, %y or %s'],
  ['%Y', 'time', 'a time needs %H, or %I and %p'],
] as const)('the format %s of a %s is refused before any row', (format, wants, why) => {
  expect(() => compileFormat(format, wants)).toThrow(why);
});

test('a time format reads a time', () => {
  const moment = newMoment();
  expect(compileFormat('%I:%M:%S.%f %p', 'time')('01:02:03.5 pm', moment)).toBe(true);
  expect(timeText(moment)).toBe('13:02:03.5');
});

const anyDate = fc.date({ min: new Date('0001-01-01T00:00:00Z'), max: new Date('9999-12-31T23:59:59.999Z'), noInvalidDate: true });
const iso = (date: Date): string => {
  const text = date.toISOString();
  return text.endsWith('.000Z') ? `${text.slice(0, 19)}Z` : text;
};

test('epoch numbers give what Date gives', () => {
  fc.assert(
    fc.property(anyDate, (date) => {
      const milliseconds = date.getTime();
      if (Math.abs(milliseconds) >= 1e11) expect(epochText(milliseconds)).toBe(iso(date));
      const seconds = Math.floor(milliseconds / 1000);
      if (Math.abs(seconds) < 1e11) expect(epochText(seconds)).toBe(iso(new Date(seconds * 1000)));
    }),
    { numRuns: 2000 },
  );
});

test.each([
  [0, '1970-01-01T00:00:00Z'],
  [99_999_999_999, '5138-11-16T09:46:39Z'],
  [100_000_000_000, '1973-03-03T09:46:40Z'],
  [1_517_966_773.123456, '2018-02-07T01:26:13.123456Z'],
  [1_517_966_773.5, '2018-02-07T01:26:13.500Z'],
  [1_517_966_773_840.25, '2018-02-07T01:26:13.840250Z'],
  [-0.5, '1969-12-31T23:59:59.500Z'],
  [0.9999999, '1970-01-01T00:00:01Z'],
  [253_402_300_799_999, '9999-12-31T23:59:59.999Z'],
  [253_402_300_800_000, undefined],
  [1_517_966_773_840_000, undefined],
  [Number.NaN, undefined],
  [Infinity, undefined],
])('%d is %s', (epoch, expected) => {
  expect(epochText(epoch)).toBe(expected);
});

test('any offset leads to the same instant', () => {
  fc.assert(
    fc.property(
      fc.date({ min: new Date('0002-01-01'), max: new Date('9998-12-31'), noInvalidDate: true }),
      fc.integer({ min: -840, max: 840 }),
      (date, offset) => {
        const local = new Date(date.getTime() + offset * 60_000).toISOString().slice(0, 23);
        const sign = offset < 0 ? '-' : '+';
        const digits = [Math.floor(Math.abs(offset) / 60), Math.abs(offset) % 60].map((n) => String(n).padStart(2, '0'));
        const moment = newMoment();
        expect(readIsoDateTime(`${local}${sign}${digits.join(':')}`, moment)).toBe(true);
        expect(utcText(moment)).toBe(date.toISOString());
        expect(compileFormat('%Y-%m-%dT%H:%M:%S.%f%z', 'datetime')(`${local}${sign}${digits.join('')}`, moment)).toBe(true);
        expect(utcText(moment)).toBe(date.toISOString());
      },
    ),
  );
});

test('whatever text: no exception, and only real dates', () => {
  const moment = newMoment();
  const parse = compileFormat('%Y-%m-%d %H:%M:%S.%f %z %p %b %j', 'datetime');
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?$/)), (text) => {
      parse(text, moment);
      if (readIsoDateTime(text, moment)) expect(new Date(`${dateText(moment)}T00:00:00Z`).toISOString().slice(0, 10)).toBe(dateText(moment));
    }),
  );
});
