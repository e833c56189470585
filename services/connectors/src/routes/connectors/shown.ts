/** A connection as the pipelines API shows it, and who may change it. */
import { TributaryError } from '@tributary/errors/error';
import type { ConnectionView } from '@tributary/contracts/api/internal';
import type { User } from '@tributary/http/caller';

export const shown = ({ env_id: _env, pipeline_id: _pipeline, ...view }: ConnectionView): Omit<ConnectionView, 'env_id' | 'pipeline_id'> => view;

/** A team's connection is changed by its members; one without a team by anyone of the environment. @throws FORBIDDEN */
export const mayChange = (user: User, teamId: string | null): void => {
  if (teamId !== null && !user.isSuperuser && !(teamId in user.teams))
    throw new TributaryError('FORBIDDEN', 'Only members of the team that owns this connector may do this.');
};
