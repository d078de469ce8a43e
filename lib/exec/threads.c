/* SPDX-License-Identifier: Apache-2.0
 *
 * threads.c -- a few threads that share the parts of one job
 *
 * A kernel takes microseconds, so waiting threads look for work a while before they sleep.
 */
#include "threads.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

enum { MOST = 256, PATIENCE = 2000 };

typedef struct worker {
	qdq_threads *all;
	int index;
	pthread_t thread;
} worker;

struct qdq_threads {
	int count;
	worker workers[MOST];
	pthread_mutex_t mutex;
	pthread_cond_t begin;
	atomic_uint round; /* of jobs; odd bits play no part */
	bool stop;	   /* under the mutex */
	/* the job */
	void (*part)(void *user, int64_t i, int thread);
	void *user;
	int64_t parts;
	atomic_llong next;
	atomic_int busy; /* workers that have not finished this round */
};

static void take_parts(qdq_threads *t, int index)
{
	long long i;

	while ((i = atomic_fetch_add(&t->next, 1)) < t->parts)
		t->part(t->user, i, index);
}

static void pause_a_little(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#endif
}

static void *work(void *arg)
{
	worker *w = arg;
	qdq_threads *t = w->all;
	unsigned seen = 0;

	for (;;) {
		for (int i = 0; i < PATIENCE && atomic_load(&t->round) == seen; i++)
			pause_a_little();
		if (atomic_load(&t->round) == seen) {
			pthread_mutex_lock(&t->mutex);
			while (atomic_load(&t->round) == seen)
				pthread_cond_wait(&t->begin, &t->mutex);
			pthread_mutex_unlock(&t->mutex);
		}
		seen = atomic_load(&t->round);
		if (t->stop)
			return NULL;
		take_parts(t, w->index);
		atomic_fetch_sub(&t->busy, 1);
	}
}

static void next_round(qdq_threads *t)
{
	pthread_mutex_lock(&t->mutex);
	atomic_fetch_add(&t->round, 1);
	pthread_cond_broadcast(&t->begin);
	pthread_mutex_unlock(&t->mutex);
}

qdq_threads *qdq_threads_start(qdq_arena *a, int count)
{
	qdq_threads *t = qdq_new(a, qdq_threads);

	t->count = 1;
	pthread_mutex_init(&t->mutex, NULL);
	pthread_cond_init(&t->begin, NULL);
	while (t->count < count && t->count < MOST) {
		worker *w = &t->workers[t->count];

		*w = (worker){.all = t, .index = t->count};
		if (pthread_create(&w->thread, NULL, work, w) != 0)
			break;
		t->count++;
	}
	return t;
}

void qdq_threads_stop(qdq_threads *t)
{
	t->stop = true;
	next_round(t);
	for (int i = 1; i < t->count; i++)
		pthread_join(t->workers[i].thread, NULL);
	pthread_cond_destroy(&t->begin);
	pthread_mutex_destroy(&t->mutex);
}

int qdq_threads_count(const qdq_threads *t)
{
	return t->count;
}

void qdq_threads_run(qdq_threads *t, int64_t parts, void (*part)(void *user, int64_t i, int thread), void *user)
{
	if (t->count == 1 || parts == 1) {
		for (int64_t i = 0; i < parts; i++)
			part(user, i, 0);
		return;
	}
	t->part = part;
	t->user = user;
	t->parts = parts;
	atomic_store(&t->next, 0);
	atomic_store(&t->busy, t->count - 1);
	next_round(t);
	take_parts(t, 0);
	for (int i = 0; atomic_load(&t->busy) != 0; i++) {
		pause_a_little();
		if (i > PATIENCE)
			sched_yield(); /* more threads than cores */
	}
}
