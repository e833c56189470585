/** Did a unique index refuse this write? (MongoDB's error code 11000.) */
export const isDuplicateKey = (error: unknown): boolean => typeof error === 'object' && error !== null && 'code' in error && error.code === 11_000;
