/** The suite once more, for rows as hashes. */
import { describeConnector } from '@tributary/conformance/suite';
import { hashConformance } from './conformance.ts';
import manifest from './manifest.ts';

const { source: _source, ...targetOnly } = manifest;
describeConnector(targetOnly, hashConformance);
