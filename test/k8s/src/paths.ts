import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const packageFolder = dirname(dirname(fileURLToPath(import.meta.url)));
export const rootFolder = dirname(dirname(packageFolder));
export const chartFolder = join(rootFolder, 'deploy/helm/tributary');
/** Work files of this clone: links to the programs, and the data of the API server while it runs. */
export const workFolder = join(rootFolder, '.local/k8s');
