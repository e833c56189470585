/** The compression codecs of Kafka record batches. Native or from Node; also given to kafkajs, whose group consumer has only gzip. */
import { promisify } from 'node:util';
import { gzip, unzip, zstdCompress, zstdDecompress } from 'node:zlib';
import kafkajs from 'kafkajs';
import { compressFrame, decompressFrame } from 'lz4-napi';
import { compress as snappyCompress, uncompress as snappyUncompress } from 'snappy';

export type Compression = 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd';

interface Codec {
  compress(data: Buffer): Promise<Buffer>;
  decompress(data: Buffer): Promise<Buffer>;
}

// Java frames snappy as https://github.com/xerial/snappy-java does: this magic, two version numbers, then blocks of
// [length int32][snappy block]. librdkafka and others send the bare block; readers accept both.
const xerialMagic = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00]);
const xerialHeaderBytes = 16;

const snappyCodec: Codec = {
  compress: async (data) => {
    const block = await snappyCompress(data);
    const framed = Buffer.allocUnsafe(xerialHeaderBytes + 4 + block.length);
    xerialMagic.copy(framed);
    framed.writeInt32BE(1, 8);
    framed.writeInt32BE(1, 12);
    framed.writeInt32BE(block.length, xerialHeaderBytes);
    block.copy(framed, xerialHeaderBytes + 4);
    return framed;
  },
  decompress: async (data) => {
    if (!data.subarray(0, xerialMagic.length).equals(xerialMagic)) return uncompressBlock(data);
    const blocks: Buffer[] = [];
    for (let offset = xerialHeaderBytes; offset + 4 <= data.length;) {
      const length = data.readInt32BE(offset);
      blocks.push(await uncompressBlock(data.subarray(offset + 4, offset + 4 + length)));
      offset += 4 + length;
    }
    return blocks.length === 1 ? (blocks[0] as Buffer) : Buffer.concat(blocks);
  },
};

const uncompressBlock = async (block: Buffer): Promise<Buffer> => {
  const plain = await snappyUncompress(block);
  return typeof plain === 'string' ? Buffer.from(plain) : plain;
};

const gzipAsync = promisify(gzip);
const unzipAsync = promisify(unzip);
const zstdCompressAsync = promisify(zstdCompress);
const zstdDecompressAsync = promisify(zstdDecompress);

/** By the low three bits of a record batch's attributes. https://kafka.apache.org/documentation/#recordbatch */
const codecs: readonly (Codec | null)[] = [
  null,
  { compress: (data) => gzipAsync(data, { level: 1 }), decompress: (data) => unzipAsync(data) },
  snappyCodec,
  { compress: (data) => compressFrame(data), decompress: (data) => decompressFrame(data) },
  { compress: (data) => zstdCompressAsync(data), decompress: (data) => zstdDecompressAsync(data) },
];

const names: readonly Compression[] = ['none', 'gzip', 'snappy', 'lz4', 'zstd'];

export const compressionNumber = (compression: Compression): number => names.indexOf(compression);

export const compress = (compression: number, data: Buffer): Promise<Buffer> => {
  const codec = codecs[compression];
  if (codec === null || codec === undefined) throw new RangeError(`No compression has number ${compression}.`);
  return codec.compress(data);
};

export const decompress = (compression: number, data: Buffer): Promise<Buffer> => {
  const codec = codecs[compression];
  if (codec === null || codec === undefined) throw new RangeError(`No compression has number ${compression}.`);
  return codec.decompress(data);
};

for (const [number, codec] of codecs.entries()) {
  if (codec === null) continue;
  kafkajs.CompressionCodecs[number as keyof typeof kafkajs.CompressionCodecs] = () => ({
    compress: (encoder: { buffer: Buffer }) => codec.compress(encoder.buffer),
    decompress: (data: Buffer) => codec.decompress(data),
  });
}
