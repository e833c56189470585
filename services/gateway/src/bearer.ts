/** The token of a request, wherever a client may put it. */
import type { IncomingMessage } from 'node:http';

export interface SocketToken {
  readonly token: string | null;
  /** The subprotocol to confirm; null when the client offered none of ours. */
  readonly subprotocol: string | null;
}

/**
 * The token of a WebSocket request: the Authorization header, `?token=`, or the subprotocols `Authorization, <token>`.
 * The guide sends `['Authorization', 'Bearer TOKEN']`, whose space the WebSocket grammar forbids: hence the raw header is read leniently.
 */
export const socketToken = (request: IncomingMessage, url: URL): SocketToken => {
  const offered = (request.headers['sec-websocket-protocol'] ?? '').split(',').map((part) => part.trim());
  const at = offered.findIndex((part) => part.toLowerCase() === 'authorization');
  const subprotocol = at < 0 ? null : (offered[at] ?? null);
  const header = /^Bearer\s+(\S+)$/i.exec(request.headers.authorization ?? '')?.[1];
  const offeredToken = at < 0 ? undefined : offered[at + 1]?.replace(/^Bearer\s+/i, '');
  return { token: header ?? (offeredToken === '' ? undefined : offeredToken) ?? url.searchParams.get('token'), subprotocol };
};
