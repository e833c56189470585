import { expect, test } from 'vitest';
import { serviceEnvironment, type Installation } from './service-settings.ts';

const installation: Installation = {
  secrets: { jwtSecret: 'a', serviceToken: 'b', connectorEncryptionKey: 'c' },
  fileRoot: '/files',
  portOf: () => 1,
};

test('a service gets the namespace, and the database of that name unless another is given', () => {
  expect(serviceEnvironment('connectors', {}, installation)).toMatchObject({ NAMESPACE: 'tributary', MONGO_DATABASE: 'tributary' });
  expect(serviceEnvironment('worker', { kafka: 'kafka://127.0.0.1:1' }, { ...installation, namespace: 'tributary-0a' })).toMatchObject({
    NAMESPACE: 'tributary-0a',
    MONGO_DATABASE: 'tributary-0a',
  });
  expect(serviceEnvironment('pipelines', { kafka: 'kafka://127.0.0.1:1' }, { ...installation, namespace: 'one', mongoDatabase: 'two' })).toMatchObject({
    NAMESPACE: 'one',
    MONGO_DATABASE: 'two',
  });
  expect(serviceEnvironment('gateway', {}, installation)).toHaveProperty('NAMESPACE', 'tributary');
});
