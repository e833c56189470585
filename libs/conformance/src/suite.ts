/** The suite every connector passes. What applies is chosen by the manifest's roles and capabilities and by `supports`. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Manifest } from '@tributary/connector-sdk/manifest';
import { secretFields } from '@tributary/connector-sdk/manifest';
import { describeSource } from './source-tests.ts';
import { describeTarget } from './target-tests.ts';
import type { Check, Conformance, ConnectorUnderTest } from './under-test.ts';

/** Registers the tests with vitest: call it at the top of `<slug>.int.test.ts`. */
export const describeConnector = (manifest: Manifest, conformance: Conformance): void => {
  const skip = new Map(Object.entries(conformance.skip ?? {}));
  const check: Check = (name, run, timeout = 30_000) => {
    const reason = conformance.notExercised ?? skip.get(name);
    skip.delete(name);
    if (reason !== undefined) test.skip(`${name} (skipped: ${reason})`);
    else test(name, (context) => run((why) => context.skip(why)), timeout);
  };

  describe(`${manifest.slug} conforms`, () => {
    let underTest: ConnectorUnderTest | undefined;
    beforeAll(async () => {
      if (conformance.notExercised === undefined) underTest = await conformance.setup();
    }, 120_000);
    afterAll(async () => underTest?.close());
    const part =
      <Part>(name: string, pick: (all: ConnectorUnderTest) => Part | undefined) =>
      (): Part => {
        const found = underTest === undefined ? undefined : pick(underTest);
        if (found === undefined) throw new Error(`conformance.ts of ${manifest.slug} supplies no ${name}, though the manifest has that role.`);
        return found;
      };

    test('the manifest says what it is', () => {
      expect(manifest.slug).toMatch(/^[a-z0-9][a-z0-9-]*$/);
      expect(manifest.name).not.toBe('');
      expect(manifest.description).not.toBe('');
      expect(manifest.source ?? manifest.target).toBeDefined();
      for (const role of [manifest.source, manifest.target]) {
        if (role === undefined) continue;
        const likelySecrets = Object.keys(role.config.shape).filter((name) => /password|secret|token|private_key/.test(name));
        expect(secretFields(role.config)).toEqual(expect.arrayContaining(likelySecrets));
      }
    });

    if (manifest.target)
      describeTarget(
        manifest,
        part('target', (all) => all.target),
        check,
      );
    if (manifest.source)
      describeSource(
        manifest,
        part('source', (all) => all.source),
        check,
      );

    test('every skipped test exists', () => {
      expect([...skip.keys()]).toEqual([]);
    });
  });
};
