/** The settings of a connector, as its manifest declares them. */
import type { ConfigSchema } from '@tributary/connector-sdk/manifest';
import { z } from 'zod';

export interface ConfigField {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  /** `text`, `number`, or the values it can have. */
  readonly type: string;
  readonly required: boolean;
  readonly secret: boolean;
  /** undefined: it has none. */
  readonly fallback: unknown;
}

const typeNames: Readonly<Record<string, string>> = {
  string: 'text',
  integer: 'whole number',
  number: 'number',
  boolean: 'yes or no',
  array: 'list',
  object: 'mapping',
};

const jsonSchema = z.looseObject({
  type: z.union([z.string(), z.array(z.string())]).optional(),
  enum: z.array(z.unknown()).optional(),
  const: z.unknown().optional(),
  anyOf: z.array(z.looseObject({})).optional(),
  title: z.string().optional(),
  description: z.string().optional(),
  secret: z.boolean().optional(),
  order: z.number().optional(),
  default: z.unknown().optional(),
});

const typeText = (schema: z.output<typeof jsonSchema>): string => {
  if (schema.enum !== undefined) return schema.enum.join(' | ');
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.anyOf !== undefined) {
    const kinds = schema.anyOf.map((one) => typeText(jsonSchema.parse(one))).filter((one) => one !== '');
    return [...new Set(kinds)].join(' | ');
  }
  const types = (Array.isArray(schema.type) ? schema.type : [schema.type ?? 'any']).filter((one) => one !== 'null');
  return types.map((one) => typeNames[one] ?? one).join(' | ');
};

/** In the order of the form. */
export const configFields = (config: ConfigSchema): ConfigField[] => {
  const { properties = {}, required = [] } = z.toJSONSchema(config, { io: 'input', unrepresentable: 'any' });
  return Object.entries(properties)
    .map(([name, property]) => ({ name, schema: jsonSchema.parse(property) }))
    .sort((one, other) => (one.schema.order ?? Infinity) - (other.schema.order ?? Infinity) || 0)
    .map(({ name, schema }) => ({
      name,
      title: schema.title ?? name,
      description: schema.description ?? '',
      type: typeText(schema),
      required: required.includes(name),
      secret: schema.secret === true,
      fallback: schema.default,
    }));
};
