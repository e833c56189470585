// What deploy/docker/Dockerfile puts into each image, made in folders by the same steps: no container engine is needed.
import { readFileSync } from 'node:fs';
import { cp, mkdir, readFile, readdir } from 'node:fs/promises';
import { createRequire, findPackageJSON, isBuiltin } from 'node:module';
import { join, matchesGlob, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { runCommand } from '@tributary/devstack/run-command';
import { services, type ServiceName } from './chart.ts';
import { rootFolder } from './paths.ts';

export interface Target {
  readonly service: ServiceName;
  /** The workspace whose part is copied. */
  readonly workspace: string;
  readonly port: number;
  /** What the image runs, relative to its folder. */
  readonly main: string;
}

const dockerFolder = join(rootFolder, 'deploy/docker');

/** The targets of the Dockerfile, one a service. Throws when a service has none or its target lacks a part. */
export const readTargets = (): Target[] => {
  const text = readFileSync(join(dockerFolder, 'Dockerfile'), 'utf8');
  const stages = new Map(
    text
      .split(/^FROM /m)
      .slice(1)
      .map((stage) => [/^\S+ AS (\S+)/.exec(stage)?.[1] ?? '', stage]),
  );
  const find = (stage: string, pattern: RegExp): string => {
    const found = pattern.exec(stages.get(stage) ?? '')?.[1];
    if (found === undefined) throw new Error(`the Dockerfile's stage ${stage} has nothing like ${pattern}`);
    return found;
  };
  return services.map((service) => ({
    service,
    workspace: find(`${service}-parts`, /turbo prune (\S+) --docker/),
    port: Number(find(service, /^EXPOSE (\d+)$/m)),
    main: find(service, /^CMD \[.*"(\S+)"\]$/m),
  }));
};

/** Copies what the build may see, by Dockerfile.dockerignore: the names after '!', without what the '**' patterns name. */
export const copyContext = async (to: string): Promise<void> => {
  const lines = (await readFile(join(dockerFolder, 'Dockerfile.dockerignore'), 'utf8')).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  const left = lines.filter((line) => line.startsWith('**/'));
  for (const name of lines.filter((line) => line.startsWith('!')).map((line) => line.slice(1))) {
    await cp(join(rootFolder, name), join(to, name), {
      recursive: true,
      filter: (path) => !left.some((pattern) => matchesGlob(relative(rootFolder, path), pattern)),
    });
  }
};

/** The stage `<service>-parts`: answers the folder with `json` (package.json files and a lockfile) and `full` (with sources). */
export const prune = async (context: string, { service, workspace }: Target): Promise<string> => {
  const out = join(context, `out-${service}`);
  await runCommand(join(rootFolder, 'node_modules/.bin/turbo'), ['prune', workspace, '--docker', `--out-dir=${out}`], {
    purpose: `turbo prune ${workspace}`,
    cwd: context,
    env: { ...process.env, TURBO_TELEMETRY_DISABLED: '1' },
  });
  return out;
};

/** The stage `<service>`: packages from the lockfile, then sources. */
export const assemble = async (parts: string, app: string): Promise<void> => {
  await mkdir(app, { recursive: true });
  await cp(join(parts, 'json'), app, { recursive: true });
  await runCommand('npm', ['ci', '--omit=dev', '--ignore-scripts', '--prefer-offline'], { purpose: 'npm ci', cwd: app });
  await cp(join(parts, 'full'), app, { recursive: true });
};

/**
 * Imports of packages that the importing workspace does not name in its `dependencies`, as 'file: package'.
 * Found in the repository they work, since everything is installed at its root; in an image they do not.
 */
export const undeclaredImports = async (folder: string): Promise<string[]> => {
  const found: string[] = [];
  for (const file of await sourcesOf(folder)) {
    const manifestFile = findPackageJSON('.', pathToFileURL(file));
    if (manifestFile === undefined) throw new Error(`${file} belongs to no package`);
    const manifest = createRequire(manifestFile)(manifestFile) as { name: string; dependencies?: Record<string, string> };
    for (const name of importedPackages(await readFile(file, 'utf8'))) {
      if (name !== manifest.name && manifest.dependencies?.[name] === undefined) found.push(`${relative(folder, file)}: ${name}`);
    }
  }
  return found;
};

const sourcesOf = async (folder: string): Promise<string[]> =>
  (await readdir(folder, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => join(entry.parentPath, entry.name));

/** Static and dynamic imports of values; types are gone at run time. */
const importedPackages = (source: string): Set<string> => {
  const pattern = /(?:^|\n)\s*(?:import|export)\s+(?!type\b)(?:[^'";]*?\sfrom\s+)?'([^']+)'|\bimport\(\s*'([^']+)'\s*\)/g;
  const names = [...source.matchAll(pattern)].map((match) => match[1] ?? match[2] ?? '');
  return new Set(
    names
      .filter((name) => !name.startsWith('.') && !isBuiltin(name))
      .map((name) =>
        name
          .split('/')
          .slice(0, name.startsWith('@') ? 2 : 1)
          .join('/'),
      ),
  );
};
