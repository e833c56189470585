// A Kubernetes API server with its etcd and nothing else: it checks, defaults and stores objects as a cluster does.
// There are no nodes and no controllers: nothing is scheduled, and no pod is made of a deployment.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { join } from 'node:path';
import { freePort } from '@tributary/devstack/ports';
import { isListening, serverProcess } from '@tributary/devstack/server-process';
import { startWatchdog } from '@tributary/devstack/watchdog';
import { stringify } from 'yaml';
import { workFolder } from './paths.ts';
import { program } from './programs.ts';

export interface Answer {
  readonly status: number;
  readonly body: unknown;
  /** The API server's Warning headers: what it accepts but advises against, such as a pod without limits on its rights. */
  readonly warnings: readonly string[];
}

export interface ApiServer {
  readonly kubeconfig: string;
  readonly call: (method: 'GET' | 'POST' | 'DELETE', path: string, body?: unknown) => Promise<Answer>;
  /** Stops both servers and removes their data. */
  readonly stop: () => Promise<void>;
}

/** Starts etcd and the API server on free ports of the loopback interface, with data of their own. About 6 s on two cores. */
export const startApiServer = async (log: (line: string) => void): Promise<ApiServer> => {
  const etcdProgram = await program('etcd', log);
  const apiProgram = await program('kube-apiserver', log);
  await mkdir(workFolder, { recursive: true });
  const folder = await mkdtemp(join(workFolder, 'run-'));
  const [etcdPort, etcdPeerPort, port] = await Promise.all([freePort(), freePort(), freePort()]);
  const watchdog = startWatchdog();

  const etcd = serverProcess(
    {
      label: 'etcd',
      command: etcdProgram,
      args: [
        '--data-dir',
        join(folder, 'etcd'),
        '--listen-client-urls',
        `http://127.0.0.1:${etcdPort}`,
        '--advertise-client-urls',
        `http://127.0.0.1:${etcdPort}`,
        '--listen-peer-urls',
        `http://127.0.0.1:${etcdPeerPort}`,
        '--initial-advertise-peer-urls',
        `http://127.0.0.1:${etcdPeerPort}`,
        '--initial-cluster',
        `default=http://127.0.0.1:${etcdPeerPort}`,
        // The data is thrown away at the end.
        '--unsafe-no-fsync',
      ],
      logFile: join(folder, 'etcd.log'),
      pidFile: join(folder, 'etcd.pid'),
      mark: folder,
      isReady: (output) => output.includes('ready to serve client requests'),
    },
    watchdog,
  );

  const certificates = join(folder, 'certificates');
  const token = randomBytes(24).toString('hex');
  const call: ApiServer['call'] = async (method, path, body) =>
    send({ method, port, path, token, ca: await readFile(join(certificates, 'apiserver.crt')), body });

  const apiServer = serverProcess(
    {
      label: 'The Kubernetes API server',
      command: apiProgram,
      args: [
        '--etcd-servers',
        `http://127.0.0.1:${etcdPort}`,
        '--bind-address',
        '127.0.0.1',
        '--secure-port',
        String(port),
        '--cert-dir',
        certificates,
        '--token-auth-file',
        join(folder, 'tokens.csv'),
        '--authorization-mode',
        'RBAC',
        '--service-cluster-ip-range',
        '10.96.0.0/16',
        '--service-account-issuer',
        'https://kubernetes.default.svc',
        '--service-account-key-file',
        join(folder, 'accounts.pub'),
        '--service-account-signing-key-file',
        join(folder, 'accounts.key'),
      ],
      logFile: join(folder, 'kube-apiserver.log'),
      pidFile: join(folder, 'kube-apiserver.pid'),
      mark: folder,
      isReady: async () => (await isListening(port)) && (await call('GET', '/readyz')).status === 200,
    },
    watchdog,
  );

  const stop = async (): Promise<void> => {
    await apiServer.stop();
    await etcd.stop();
    watchdog.close();
    await rm(folder, { recursive: true, force: true });
  };

  try {
    const accounts = generateKeyPairSync('rsa', {
      modulusLength: 2048,
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    });
    const kubeconfig = join(folder, 'kubeconfig.yaml');
    await writeFile(join(folder, 'accounts.pub'), accounts.publicKey);
    await writeFile(join(folder, 'accounts.key'), accounts.privateKey, { mode: 0o600 });
    await writeFile(join(folder, 'tokens.csv'), `${token},tester,1,"system:masters"\n`, { mode: 0o600 });
    await writeFile(
      kubeconfig,
      stringify({
        apiVersion: 'v1',
        kind: 'Config',
        clusters: [{ name: 'test', cluster: { server: `https://127.0.0.1:${port}`, 'certificate-authority': join(certificates, 'apiserver.crt') } }],
        users: [{ name: 'tester', user: { token } }],
        contexts: [{ name: 'test', context: { cluster: 'test', user: 'tester' } }],
        'current-context': 'test',
      }),
      { mode: 0o600 },
    );
    await etcd.start();
    await apiServer.start();
    return { kubeconfig, call, stop };
  } catch (error) {
    await stop();
    throw error;
  }
};

interface Call {
  readonly method: string;
  readonly port: number;
  readonly path: string;
  readonly token: string;
  readonly ca: Buffer;
  readonly body: unknown;
}

const send = ({ method, port, path, token, ca, body }: Call): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const sent = request({ host: '127.0.0.1', port, path, method, headers, ca, agent: false }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (part: string) => (text += part));
      answer.on('error', reject);
      answer.on('end', () => {
        const warning = answer.headers['warning'] ?? '';
        resolve({
          status: answer.statusCode ?? 0,
          body: answer.headers['content-type']?.startsWith('application/json') ? JSON.parse(text) : text,
          warnings: warning === '' ? [] : [warning],
        });
      });
    });
    sent.on('error', reject);
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
