// helm, etcd and the Kubernetes API server, built from their Go modules: none of them publishes its program in a package registry.
// Each is built once a user and version, into the cache folder, and linked from .local/k8s/bin of the clone.
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { cached, cacheFolder } from '@tributary/devstack/cache';
import { findProgram } from '@tributary/devstack/find-program';
import { runCommand } from '@tributary/devstack/run-command';
import { TributaryError } from '@tributary/errors/error';
import { packageFolder, workFolder } from './paths.ts';

export type ProgramName = 'helm' | 'etcd' | 'kube-apiserver';

const helmVersion = 'v3.22.0';

/** The version that go.mod beside the program's main.go requires of `module`. */
const requiredVersion = (folder: string, module: string): string => {
  const text = readFileSync(join(packageFolder, folder, 'go.mod'), 'utf8');
  const version = text
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .find((words) => words.includes(module))
    ?.at(-1);
  if (version === undefined) throw new TributaryError('INTERNAL', `test/k8s/${folder}/go.mod does not require ${module}`);
  return version;
};

const versionOf = (name: ProgramName): string => {
  switch (name) {
    case 'helm':
      return helmVersion;
    case 'etcd':
      return requiredVersion('etcd', 'go.etcd.io/etcd/server/v3');
    case 'kube-apiserver':
      return requiredVersion('kube-apiserver', 'k8s.io/kubernetes');
  }
};

const linkOf = (name: ProgramName): string => join(workFolder, 'bin', `${name}-${versionOf(name)}`);
const cacheNameOf = (name: ProgramName): string => `k8s/${name}-${versionOf(name)}`;
const go = (): string | undefined => findProgram(['go'], ['/usr/local/go/bin']);

/** The program's path when no build is needed for it: linked from this clone, or in the user's cache. */
const findBuilt = (name: ProgramName): string | undefined => [linkOf(name), join(cacheFolder(), cacheNameOf(name), name)].find((path) => existsSync(path));

/** Is this program here already? A build takes between half a minute (etcd) and four (the API server). */
export const isBuilt = (name: ProgramName): boolean => findBuilt(name) !== undefined;

/** Can `program` answer? Yes where it was built before, and where Go can build it. */
export const isObtainable = (name: ProgramName): boolean => isBuilt(name) || go() !== undefined;

/**
 * The path of a program, which is built first where it has not been.
 * Throws SERVER_MISSING when Go is not installed or the build fails.
 */
export const program = async (name: ProgramName, log: (line: string) => void = () => undefined): Promise<string> => {
  const link = linkOf(name);
  if (existsSync(link)) return link;
  const folder = await cached(cacheNameOf(name), (draft) => build(name, draft, log));
  await mkdir(join(workFolder, 'bin'), { recursive: true });
  // A link that is there but leads nowhere remains from a cache that was emptied; one made by a test beside this one is fine.
  await rm(link, { force: true });
  await symlink(join(folder, name), link).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
  return join(folder, name);
};

const build = async (name: ProgramName, folder: string, log: (line: string) => void): Promise<void> => {
  const compiler = go();
  if (compiler === undefined) {
    throw new TributaryError('SERVER_MISSING', `${name} ${versionOf(name)} is built with Go, which is not on PATH. Install Go 1.26 or newer.`);
  }
  log(`Building ${name} ${versionOf(name)} from its Go modules (once) ...`);
  const purpose = `${name} ${versionOf(name)}: the build with Go`;
  const flags = ['-trimpath', '-ldflags', `-s -w ${versionStamp(name)}`];
  if (name === 'helm') {
    await runCommand(compiler, ['install', ...flags, `helm.sh/helm/v3/cmd/helm@${helmVersion}`], { purpose, env: { ...process.env, GOBIN: folder } });
  } else {
    await runCommand(compiler, ['build', ...flags, '-o', join(folder, name), '.'], { purpose, cwd: join(packageFolder, name) });
  }
};

/** The API server learns its version from its linker; without, a chart's kubeVersion refuses it. */
const versionStamp = (name: ProgramName): string => {
  if (name !== 'kube-apiserver') return '';
  const version = versionOf(name);
  const [major = '', minor = ''] = version.slice(1).split('.');
  const variables = { gitVersion: version, gitMajor: major, gitMinor: minor };
  return Object.entries(variables)
    .map(([variable, value]) => `-X k8s.io/component-base/version.${variable}=${value}`)
    .join(' ');
};
