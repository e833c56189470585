import { describe } from 'vitest';
import { describeConnector } from '@tributary/conformance/suite';
import { conformance, conformanceOf } from './conformance.ts';
import manifest from './manifest.ts';

describe('JSON lines', () => describeConnector(manifest, conformance));
describe('JSON lines, parts in gzip', () => describeConnector(manifest, conformanceOf('jsonl', 'gzip')));
describe('CSV', () => describeConnector(manifest, conformanceOf('csv')));
