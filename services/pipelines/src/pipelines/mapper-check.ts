/** A mapper is refused when it is given, rather than when its first row comes. */
import { TributaryError } from '@tributary/errors/error';
import type { MapperConfig } from '@tributary/contracts/mapper';

/** Only whether the mapper compiles is asked here, and a key's value has no part in that. */
const anyKey = Buffer.alloc(32);

/** `field`: of the request, that holds it. @throws VALIDATION_FAILED naming the column. */
export const checkMapper = async (config: MapperConfig | null | undefined, field = 'subscription_mapper_config'): Promise<void> => {
  if (config == null) return;
  const { compileMapper } = await import('@tributary/engine/mapper/compile');
  try {
    compileMapper(config, { encryptionKey: anyKey });
  } catch (error) {
    if (!(error instanceof TributaryError)) throw error;
    const fields = [{ loc: ['body', field], msg: error.message, type: 'value_error' }];
    throw new TributaryError('VALIDATION_FAILED', 'The mapper is not valid.', { cause: error, details: { fields } });
  }
};
