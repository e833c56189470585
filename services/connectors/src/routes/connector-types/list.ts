import { listConnectorTypes } from '@tributary/contracts/api/connector-types';
import { loadManifests, typeName } from '@tributary/connectors/registry';
import { route, type Route } from '@tributary/http/route';
import { z } from 'zod';

export const listTypesRoute = (): Route =>
  route(listConnectorTypes, async () => {
    const manifests = await loadManifests();
    const types = manifests.flatMap((manifest) =>
      (['source', 'target'] as const).flatMap((role) => {
        const side = manifest[role];
        if (side === undefined) return [];
        const guarantee = role === 'source' ? null : manifest.target?.fence === 'none' ? 'at-least-once' : 'exactly-once';
        return [
          {
            type: typeName(manifest.slug, role),
            slug: manifest.slug,
            role,
            name: manifest.name,
            category: manifest.category,
            description: manifest.description,
            schema: z.toJSONSchema(side.config, { io: 'input', unrepresentable: 'any' }),
            guarantee,
          },
        ];
      }),
    );
    return { status: 200, body: types.toSorted((a, b) => a.type.localeCompare(b.type)) };
  });
