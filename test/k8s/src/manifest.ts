// Kubernetes objects as YAML or JSON brings them: known by kind and name, the rest read by path.

export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> };
}

export const isManifest = (value: unknown): value is Manifest =>
  typeof pick(value, 'apiVersion') === 'string' && typeof pick(value, 'kind') === 'string' && typeof pick(value, 'metadata.name') === 'string';

/** The value at a dotted path ('spec.ports.0.port'), or undefined. */
export const pick = (value: unknown, path: string): unknown => {
  let at = value;
  for (const key of path.split('.')) {
    if (at === null || typeof at !== 'object') return undefined;
    at = (at as Record<string, unknown>)[key];
  }
  return at;
};

/** The same, where a list is expected; an absent one is empty. */
export const pickList = (value: unknown, path: string): readonly unknown[] => {
  const found = pick(value, path);
  return Array.isArray(found) ? found : [];
};

/** The one object of this kind whose name ends with `-component` (or is `name` itself). Throws when there is none or several. */
export const only = (objects: readonly Manifest[], kind: string, name: string): Manifest => {
  const found = objects.filter((object) => object.kind === kind && (object.metadata.name === name || object.metadata.name.endsWith(`-${name}`)));
  const [first] = found;
  if (first === undefined || found.length > 1) throw new Error(`${found.length} objects of kind ${kind} named ${name}, not one`);
  return first;
};

export const containerOf = (deployment: Manifest): unknown => pick(deployment, 'spec.template.spec.containers.0');
