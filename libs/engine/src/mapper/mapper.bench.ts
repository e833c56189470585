/* oxlint-disable no-console -- it prints */
/** Prints what the mapper costs: `node libs/engine/src/mapper/mapper.bench.ts`. */
import type { MapperConfig } from '@tributary/contracts/mapper';
import type { Row, Value } from '@tributary/contracts/types';
import { compileCast } from './cast.ts';
import { compileMapper } from './compile.ts';
import { parsePath } from './path.ts';

const config: MapperConfig = [
  { key: 'id', path: '$.id', cast: 'string', primary_key: true },
  { key: 'magnitude', path: '$.properties.mag', cast: 'float' },
  { key: 'place', path: '$.properties.place', cast: 'string' },
  { key: 'happened_at', path: '$.properties.time', cast: 'datetime' },
  { key: 'longitude', path: '$.geometry.coordinates[0]', cast: 'float' },
  { key: 'latitude', path: '$.geometry.coordinates[1]', cast: 'float' },
];

const texts = Array.from({ length: 5000 }, (_, i) =>
  JSON.stringify({
    type: 'Feature',
    properties: {
      mag: 2 + (i % 50) / 10,
      place: `${i % 90}km W of Castaic, CA`,
      time: 1_517_966_773_840 + i * 1000,
      status: 'automatic',
      sig: 62,
      net: 'ci',
      code: `${37_868_143 + i}`,
    },
    geometry: { type: 'Point', coordinates: [-118.66 + i / 1e4, 34.49, 26.49] },
    id: `ci${37_868_143 + i}`,
  }),
);
const records = texts.map((text) => JSON.parse(text) as Row);

/** The plain way, for comparison: a loop over columns that walks each path. */
const loopOver = (columns: MapperConfig) => {
  const parts = columns.map((column) => ({ key: column.key, path: parsePath(column.path ?? '$'), cast: compileCast(column.cast ?? 'string', null) }));
  return (record: Row, out: Row[]) => {
    const row: Row = {};
    for (const { key, path, cast } of parts) {
      let value: Value | undefined = record;
      for (const step of path) {
        if (typeof value !== 'object' || value === null) value = undefined;
        else if (step.kind === 'key') value = (value as Row)[step.key];
        else if (step.kind === 'index') value = (value as Value[])[step.index];
      }
      row[key] = value === undefined || value === null ? null : (cast(value) ?? null);
    }
    out.push(row);
  };
};

/** Microseconds a record, the best of several rounds. */
const measure = (name: string, run: (out: Row[]) => void): void => {
  let best = Infinity;
  for (let round = 0; round < 40; round += 1) {
    const out: Row[] = [];
    const started = performance.now();
    run(out);
    best = Math.min(best, performance.now() - started);
  }
  console.log(`${name.padEnd(28)} ${((best * 1000) / records.length).toFixed(3)} µs a record`);
};

const { map } = compileMapper(config);
const loop = loopOver(config);
const noEpoch = compileMapper(config.filter(({ cast }) => cast !== 'datetime'));
console.log(`${config.length} columns, ${Math.round(texts.join('').length / texts.length)} bytes of JSON a record`);
measure('compiled', (out) => records.forEach((record) => map(record, 'upsert', out)));
measure('compiled, without datetime', (out) => records.forEach((record) => noEpoch.map(record, 'upsert', out)));
measure('loop over columns', (out) => records.forEach((record) => loop(record, out)));
measure('JSON.parse, for scale', (out) => texts.forEach((text) => out.push(JSON.parse(text) as Row)));
