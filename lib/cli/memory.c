/* SPDX-License-Identifier: Apache-2.0
 *
 * memory.c -- memory for large models, paged in ahead by a second thread
 *
 *      range   | blocks in use ... | paged in: AHEAD | reserved ... |
 *                                  ^ used                ^ done
 *
 * A model of a million nodes touches a gigabyte, and a fifth of the time would go into page faults, one after the
 * other. So large blocks come from one reserved range, front to back, and once FIRST bytes of it are in use a thread
 * pages in what comes next. Smaller models never get there. Without such a range or thread, pages come as ever.
 */
#include "cli.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define RANGE ((size_t)1 << 36)
#define FIRST ((size_t)64 << 20)
#define LARGE ((size_t)1 << 20) /* blocks from here on come from the range */
#define AHEAD ((size_t)24 << 20)
#define STEP ((size_t)4 << 20) /* that the thread pages in at a time; blocks up to here are used again */
#define PAGE ((size_t)4096)

typedef struct spare {
	struct spare *next;
	size_t size;
} spare;

static struct memory {
	bool tried, threaded;
	char *range; /* NULL: there is none */
	size_t room, used;
	spare *spares;
	pthread_mutex_t mutex; /* of wanted */
	pthread_cond_t more;
	size_t wanted; /* bytes of the range that are to be there */
} memory = {.mutex = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER};

#ifdef MADV_POPULATE_WRITE
static void *page_in(void *arg)
{
	(void)arg;
	for (size_t done = FIRST; done < memory.room; done += STEP) {
		pthread_mutex_lock(&memory.mutex);
		while (memory.wanted <= done)
			pthread_cond_wait(&memory.more, &memory.mutex);
		pthread_mutex_unlock(&memory.mutex);
		(void)madvise(memory.range + done, STEP, MADV_POPULATE_WRITE); /* keeps what is there already */
	}
	return NULL;
}

static void want(size_t size)
{
	pthread_t thread;

	pthread_mutex_lock(&memory.mutex);
	memory.wanted = size;
	pthread_cond_signal(&memory.more);
	pthread_mutex_unlock(&memory.mutex);
	if (!memory.threaded && pthread_create(&thread, NULL, page_in, NULL) == 0)
		pthread_detach(thread); /* it ends with the process */
	memory.threaded = true;
}
#else
static void want(size_t size)
{
	memory.wanted = size;
}
#endif

/* Where addresses are limited, half of what there is is left for files and small blocks. */
static void reserve(void)
{
	void *p = MAP_FAILED;

	for (size_t size = RANGE; p == MAP_FAILED && size >= 8 * FIRST; size /= 2) {
		p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		memory.room = size;
	}
	if (p == MAP_FAILED)
		return;
	memory.range = p;
	if (memory.room < RANGE) {
		memory.room /= 2;
		munmap(memory.range + memory.room, memory.room);
	}
}

/* size: a multiple of PAGE. NULL: the range has no room. */
static void *take(size_t size)
{
	char *p;

	for (spare **link = &memory.spares; *link != NULL; link = &(*link)->next) {
		if ((*link)->size == size) {
			spare *found = *link;

			*link = found->next;
			return found;
		}
	}
	if (!memory.tried)
		reserve();
	memory.tried = true;
	if (memory.room - memory.used < size)
		return NULL;
	p = memory.range + memory.used;
	memory.used += size;
	if (memory.used >= FIRST)
		want(memory.used + AHEAD);
	return p;
}

static void give_back(void *p, size_t size)
{
	if (size > STEP)
		munmap(p, size);
	else
		memory.spares = memcpy(p, &(spare){memory.spares, size}, sizeof(spare));
}

void *alloc_ahead(void *user, void *p, size_t old_size, size_t new_size)
{
	bool ours = p != NULL && memory.range != NULL && (uintptr_t)p - (uintptr_t)memory.range < memory.room;
	size_t pages = (new_size + PAGE - 1) / PAGE * PAGE;
	void *made = NULL;

	(void)user;
	if (new_size == 0) {
		if (ours)
			give_back(p, (old_size + PAGE - 1) / PAGE * PAGE);
		else
			free(p);
		return NULL;
	}
	if (p != NULL && !ours)
		return realloc(p, new_size);
	if (new_size >= LARGE && new_size < RANGE)
		made = take(pages);
	if (made == NULL)
		made = malloc(new_size);
	if (p != NULL && made != NULL) {
		memcpy(made, p, old_size < new_size ? old_size : new_size);
		give_back(p, (old_size + PAGE - 1) / PAGE * PAGE);
	}
	return made;
}
