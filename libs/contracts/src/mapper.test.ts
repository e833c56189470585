import { expect, test } from 'vitest';
import { label } from './api/endpoint.ts';
import { givenMapperConfig, mapperConfig, type MapperColumn } from './mapper.ts';

const issuesOf = (column: Partial<MapperColumn>): unknown[] =>
  givenMapperConfig
    .safeParse([
      { key: 'a', path: '$.a' },
      { key: 'b', path: '$.b', ...column },
    ])
    .error?.issues.map(({ path }) => path) ?? [];

test('what a mapper would pass over in silence is refused when it is given', () => {
  expect(issuesOf({ static: 0 })).toEqual([[1, 'static']]);
  expect(issuesOf({ cast_format: '%Y' })).toEqual([[1, 'cast_format']]);
  expect(issuesOf({ cast_format: '%Y', cast: 'int' })).toEqual([[1, 'cast_format']]);
  expect(issuesOf({ cast_format: '%Y', cast: 'date' })).toEqual([]);
  expect(issuesOf({ cast_format: '', static: null })).toEqual([]);
});

test('what is stored already can still be read', () => {
  expect(mapperConfig.safeParse([{ key: 'b', path: '$.b', static: 0, cast_format: '%Y' }]).success).toBe(true);
});

test('names are one line of text', () => {
  expect(label.safeParse('a\0b').success).toBe(false);
  expect(label.safeParse('a\nb').success).toBe(false);
  expect(label.parse(' größe "x" ')).toBe('größe "x"');
});
