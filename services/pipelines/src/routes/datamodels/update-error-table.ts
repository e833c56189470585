import { updateErrorTable } from '@tributary/contracts/api/datamodels';
import { envOf, route, userOf, type Route } from '@tributary/http/route';
import type { Audit } from '../../audit/audit.ts';
import type { Finder } from '../../pipelines/find.ts';
import type { Pipelines } from '../../pipelines/pipelines.ts';
import { dataModelView } from '../../pipelines/view.ts';

export const updateErrorTableRoute = (pipelines: Pipelines, finder: Finder, audit: Audit): Route =>
  route(updateErrorTable, async (call) => {
    const envId = envOf(call);
    const { _id } = await finder.byPart(envId, 'data model', call.params.id);
    const change = Object.fromEntries(Object.entries(call.body).map(([field, value]) => [`datamodel_${field}`, value]));
    await pipelines.update(userOf(call), envId, _id, change);
    await audit.record(call, { action: 'datamodel.update', subject: { kind: 'datamodel', id: call.params.id } });
    return { status: 200, body: dataModelView(await finder.one(envId, _id)) };
  });
