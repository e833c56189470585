/** WebSocket log streams of pipelines and connections: history, then live lines, until the token expires. */
import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { TributaryError, asTributaryError } from '@tributary/errors/error';
import type { Logger } from '@tributary/runtime/logger';
import jwt from 'jsonwebtoken';
import { WebSocketServer, type WebSocket } from 'ws';
import { socketToken } from './bearer.ts';
import type { LogTail } from './log-tail.ts';

export interface LogSocketOptions {
  readonly tail: LogTail;
  /** The installation's, which its log streams begin with. */
  readonly namespace: string;
  readonly log: Logger;
  /** Settles when the token's user may see the resource. @throws UNAUTHENTICATED, NOT_FOUND, SERVICE_UNAVAILABLE */
  readonly authorize: (token: string, resource: 'pipelines' | 'connectors', id: string) => Promise<void>;
}

const paths = /^\/api\/(pipelines|connectors)\/([\w-]{1,64})\/logs\/?$/;
const historyLines = 1000;
const slowClientBytes = 4 * 1024 * 1024;
const pingMs = 30_000;
/** 1008 is "policy violation" (RFC 6455 §7.4.1): a client must log in again before it comes back, so reconnecting at once is no use. */
const tokenExpired = 1008;
/** 1013 is "try again later" (IANA registry). */
const tooSlow = 1013;

const refuse = (socket: Duplex, error: unknown): void => {
  const known = asTributaryError(error);
  const body = JSON.stringify({ detail: known.code === 'INTERNAL' ? 'Internal error' : known.message, error_code: known.code, help: known.help });
  const challenge = known.status === 401 ? 'WWW-Authenticate: Bearer\r\n' : '';
  socket.end(
    `HTTP/1.1 ${known.status} Refused\r\nContent-Type: application/json\r\n${challenge}Connection: close\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
};

const millisecondsLeft = (token: string): number | null => {
  const claims = jwt.decode(token);
  return claims !== null && typeof claims === 'object' && claims.exp !== undefined ? claims.exp * 1000 - Date.now() : null;
};

/** setTimeout holds 31 bits; a longer life needs no timer within one process's run. */
const longestTimerMs = 2 ** 31 - 1;

const stream = async (client: WebSocket, name: string, token: string, tail: LogTail): Promise<void> => {
  const cleanups: (() => void)[] = [];
  client.on('close', () => cleanups.forEach((cleanup) => cleanup()));
  client.on('error', () => client.terminate());

  let answered = true;
  client.on('pong', () => {
    answered = true;
  });
  const ping = setInterval(() => {
    if (!answered) return client.terminate();
    answered = false;
    client.ping();
  }, pingMs);
  cleanups.push(() => clearInterval(ping));

  const left = millisecondsLeft(token);
  if (left !== null && left < longestTimerMs) {
    const expiry = setTimeout(() => client.close(tokenExpired, 'The token has expired; log in again.'), Math.max(0, left));
    cleanups.push(() => clearTimeout(expiry));
  }

  const send = (text: string): void => {
    if (client.bufferedAmount > slowClientBytes) client.close(tooSlow, 'This client reads too slowly.');
    else client.send(text);
  };
  const history = await tail.history(name, historyLines);
  for (const line of history) send(line.text);
  if (client.readyState === client.OPEN) cleanups.push(tail.follow(name, history.at(-1)?.id ?? '0-0', (line) => send(line.text)));
};

export const serveLogSockets = (server: Server, options: LogSocketOptions): { close: () => void } => {
  const sockets = new WebSocketServer({ noServer: true, maxPayload: 4096, handleProtocols: (offered) => [...offered][0] ?? false });

  const upgrade = async (request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> => {
    const url = new URL(request.url ?? '/', 'http://gateway');
    const match = paths.exec(url.pathname);
    if (match === null) return refuse(socket, new TributaryError('NOT_FOUND', `There is no WebSocket at ${url.pathname}.`));
    const [, resource, id] = match as unknown as [string, 'pipelines' | 'connectors', string];
    const { token, subprotocol } = socketToken(request, url);
    try {
      await options.authorize(token ?? '', resource, id);
    } catch (error) {
      return refuse(socket, error);
    }
    // The token must not be echoed, and its space would make ws refuse the whole header.
    if (subprotocol === null) delete request.headers['sec-websocket-protocol'];
    else request.headers['sec-websocket-protocol'] = subprotocol;
    sockets.handleUpgrade(request, socket, head, (client) => {
      const name = `${options.namespace}:logs:${resource === 'pipelines' ? 'pipeline' : 'connection'}:${id}`;
      stream(client, name, token ?? '', options.tail).catch((error: unknown) => {
        options.log.warn({ err: error }, 'A log stream ended with an error');
        client.close(1011, 'The log could not be read.');
      });
    });
  };

  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => socket.destroy());
    upgrade(request, socket, head).catch((error: unknown) => refuse(socket, error));
  });
  return {
    close: () => {
      for (const client of sockets.clients) client.close(1001, 'The server is restarting; connect again.');
      sockets.close();
    },
  };
};
