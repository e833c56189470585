// The layers, as rules. `npm run lint` fails on an import that is not in this table.

/** What each library may import of ours, besides itself. */
const allowed = {
  errors: ['contracts'],
  contracts: ['errors'],
  runtime: ['errors'],
  http: ['contracts', 'errors', 'runtime'],
  kafka: ['contracts', 'errors', 'runtime'],
  store: ['contracts', 'errors', 'runtime'],
  secrets: ['contracts', 'errors', 'runtime'],
  bus: ['contracts', 'errors', 'runtime', 'kafka', 'store'],
  jobs: ['contracts', 'errors', 'runtime', 'store'],
  'connector-sdk': ['contracts', 'errors'],
  engine: ['connector-sdk', 'contracts', 'errors'],
  connectors: ['connector-sdk', 'contracts', 'errors', 'kafka'],
  'connector-hosts': ['connector-sdk', 'contracts', 'errors', 'kafka'],
};

/** Packages that only one library may import, so that everything else goes through it. */
const onlyImporters = {
  express: ['libs/http'],
  kafkajs: ['libs/kafka'],
  bullmq: ['libs/jobs'],
  mongoose: ['libs/store'],
  // Waits for the server it started, and empties databases of tests; looks for secrets in what is stored.
  mongodb: ['libs/store', 'libs/devstack', 'libs/connectors/src/mongodb', 'test/e2e'],
};

/** Tests, what they share, and what a connector tells the conformance suite about itself. */
const tests = String.raw`(\.test|\.fixture|/conformance)\.ts$`;
const folders = (names) => `^(${names.join('|')})/`;

const layers = Object.entries(allowed).map(([library, others]) => ({
  name: `layer-${library}`,
  comment: `libs/${library} may import of ours only: ${others.join(', ')}.`,
  severity: 'error',
  from: { path: `^libs/${library}/`, pathNot: tests },
  to: { path: '^(libs|services|test|scripts)/', pathNot: folders([library, ...others].map((name) => `libs/${name}`)) },
}));

const importers = Object.entries(onlyImporters).map(([name, where]) => ({
  name: `only-importer-of-${name}`,
  comment: `${name} is imported in ${where.join(' and ')} only; use what is exported there.`,
  severity: 'error',
  from: { pathNot: [...where.map((folder) => `^${folder}/`), '/node_modules/', '^node_modules/'] },
  to: { path: `(^|/)node_modules/(@types/)?${name}/` },
}));

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    ...layers,
    ...importers,
    {
      name: 'errors-take-only-types',
      comment: 'libs/errors is below everything: it may use types of contracts, never code.',
      severity: 'error',
      from: { path: '^libs/errors/', pathNot: tests },
      to: { path: '^libs/contracts/', dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'connectors-stand-alone',
      comment: 'A connector never imports another one.',
      severity: 'error',
      from: { path: '^libs/connectors/src/([^/]+)/', pathNot: tests },
      to: { path: '^libs/connectors/src/([^/]+)/', pathNot: '^libs/connectors/src/$1/' },
    },
    {
      name: 'kafka-in-its-connector-only',
      comment: 'Of the connectors, only the Kafka one speaks to Kafka.',
      severity: 'error',
      from: { path: '^libs/(connectors|connector-hosts)/src/', pathNot: ['^libs/connectors/src/kafka', tests] },
      to: { path: '^libs/kafka/' },
    },
    {
      name: 'services-stand-alone',
      comment: 'A service never imports another one; it asks over HTTP or listens to events.',
      severity: 'error',
      from: { path: '^services/([^/]+)/' },
      to: { path: '^services/([^/]+)/', pathNot: '^services/$1/' },
    },
    {
      name: 'nothing-above-services',
      comment: 'Libraries do not import services, tests or scripts.',
      severity: 'error',
      from: { path: '^(libs|services)/', pathNot: ['^services/([^/]+)/', '^libs/(devstack|conformance)/', tests] },
      to: { path: '^(services|test|scripts)/' },
    },
    {
      name: 'test-servers-in-tests-only',
      comment: 'libs/devstack and libs/conformance are for tests and `npm start` only.',
      severity: 'error',
      from: { pathNot: ['^libs/(devstack|conformance)/', '^(test|scripts)/', tests, '^vitest.config.ts$'] },
      to: { path: '^libs/(devstack|conformance)/' },
    },
    {
      name: 'test-files-in-tests-only',
      comment: 'Fixtures, and what a connector tells the conformance suite, are not part of the program.',
      severity: 'error',
      from: { pathNot: [tests, '^(test|scripts)/'] },
      to: { path: [String.raw`\.fixture\.ts$`, String.raw`^libs/connectors/src/[^/]+/conformance\.ts$`] },
    },
    {
      name: 'no-cycles',
      comment: 'Two files that need each other are one file, or need a third.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'resolvable',
      comment: 'An import that leads nowhere.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: 'declared',
      comment: 'A package that is imported is in the package.json beside it.',
      severity: 'error',
      from: { path: '^(libs|services)/', pathNot: tests },
      to: { dependencyTypes: ['npm-no-pkg', 'npm-unknown'] },
    },
  ],
  options: {
    parser: 'swc',
    tsPreCompilationDeps: 'specify',
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(^|/)(dist|\\.local)/' },
    combinedDependencies: false,
    moduleSystems: ['es6'],
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['types', 'import', 'node', 'default'],
      extensions: ['.ts', '.mjs', '.js', '.json', '.d.ts', '.mts', '.d.mts'],
    },
  },
};
