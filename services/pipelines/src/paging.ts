/** The pages of the pipelines API. */
import { pageWindow, type pageQuery } from '@tributary/contracts/api/endpoint';
import type { z } from 'zod';

export interface Page<Item> {
  readonly items: Item[];
  readonly total: number;
  readonly page: number;
  readonly size: number;
  readonly pages: number;
}

/** `find` gets the offset and the limit, and gives the items there and how many there are in all. */
export const paged = async <Item>(
  query: z.infer<typeof pageQuery>,
  find: (window: { skip: number; limit: number }) => Promise<{ items: Item[]; total: number }>,
): Promise<Page<Item>> => {
  const { skip, limit, page } = pageWindow(query);
  const { items, total } = await find({ skip, limit });
  return { items, total, page, size: limit, pages: Math.ceil(total / limit) };
};
