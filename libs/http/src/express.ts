/** Express itself, for the few services that serve more than declared endpoints. */
export { default } from 'express';
export type { Express, Request, Response, NextFunction } from 'express';
