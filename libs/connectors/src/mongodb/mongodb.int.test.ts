import { describeConnector } from '@tributary/conformance/suite';
import { conformance } from './conformance.ts';
import manifest from './manifest.ts';

describeConnector(manifest, conformance);
