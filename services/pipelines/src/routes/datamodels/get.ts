import { getDataModel } from '@tributary/contracts/api/datamodels';
import { envOf, route, type Route } from '@tributary/http/route';
import type { Finder } from '../../pipelines/find.ts';
import { dataModelView } from '../../pipelines/view.ts';

export const getDataModelRoute = (finder: Finder): Route =>
  route(getDataModel, async (call) => ({ status: 200, body: dataModelView(await finder.byPart(envOf(call), 'data model', call.params.id)) }));
