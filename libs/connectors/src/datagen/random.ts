/** Numbers that depend on an index and a salt alone: an integer hash, not a generator with a state, so any row can be made first. */

/** The finalizer of MurmurHash3 (https://github.com/aappleby/smhasher/wiki/MurmurHash3): every bit of the input changes half of the bits. */
const finalize = (value: number): number => {
  let hash = value;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
};

/** 32 bits, as a signed integer. `index` is a safe integer that is not negative. */
export const hash32 = (index: number, salt: number): number => {
  const low = finalize((index | 0) ^ salt);
  return index < 4_294_967_296 ? finalize(low + 0x9e3779b9) : finalize(low ^ Math.imul(Math.floor(index / 4_294_967_296), 0x9e3779b1));
};

/** From 0 up to but not including 1, in steps of 2^-53. */
export const fractionOf = (index: number, salt: number): number =>
  ((hash32(index, salt) >>> 5) * 67_108_864 + (hash32(index, salt ^ 0x5bd1e995) >>> 6)) / 9_007_199_254_740_992;

/** A salt of its own for each column: adding a column changes no other one. */
export const saltOf = (seed: number, name: string): number => {
  let salt = finalize(seed | 0);
  for (let at = 0; at < name.length; at += 1) salt = finalize(Math.imul(salt, 31) + name.charCodeAt(at));
  return salt;
};
