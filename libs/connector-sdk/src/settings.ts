/** Settings of the installation that connectors need. Set once by a service's main.ts, since connectors never read the environment. */
export interface ConnectorSettings {
  /** The only folder that file-based connectors may touch (`CONNECTOR_FILE_ROOT`); null: none, they refuse to work. */
  fileRoot: string | null;
  /** Topics whose names begin like this are the platform's own: no connector reads or writes them. */
  reservedTopicPrefixes: readonly string[];
}

export const connectorSettings: ConnectorSettings = { fileRoot: null, reservedTopicPrefixes: ['tributary.'] };
