import type { IncomingMessage } from 'node:http';
import { describe, expect, test } from 'vitest';
import { socketToken } from './bearer.ts';

const request = (headers: Record<string, string>): IncomingMessage => ({ headers }) as unknown as IncomingMessage;
const url = (query = ''): URL => new URL(`http://gateway/api/pipelines/1/logs${query}`);

describe('the token of a WebSocket request', () => {
  test.each([
    ["the guide's subprotocols, with a space", { 'sec-websocket-protocol': 'Authorization, Bearer abc.def.ghi' }, '', 'abc.def.ghi', 'Authorization'],
    ['subprotocols a browser can send', { 'sec-websocket-protocol': 'Authorization, abc.def.ghi' }, '', 'abc.def.ghi', 'Authorization'],
    ['the Authorization header', { authorization: 'Bearer abc' }, '', 'abc', null],
    ['the query', {}, '?token=abc', 'abc', null],
    ['none', {}, '', null, null],
    ['a subprotocol without a token', { 'sec-websocket-protocol': 'Authorization' }, '', null, 'Authorization'],
  ])('is found in %s', (_name, headers, query, token, subprotocol) => {
    expect(socketToken(request(headers as Record<string, string>), url(query))).toEqual({ token, subprotocol });
  });
});
