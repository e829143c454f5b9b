/* SPDX-License-Identifier: MIT */
/*
 * A loop that another event loop runs: one descriptor to wait on, and a call that serves what is ready. A timerfd in
 * the loop's epoll stands for the loop's timers; it is set anew after each call. A timer that is set in between raises
 * the loop's eventfd, which leads to such a call. An embedded loop never spins, since it is not the one that sleeps.
 */
#ifndef LM_DETAIL_LOOP_EMBEDDING_H
#define LM_DETAIL_LOOP_EMBEDDING_H

#include "loop.h"

struct lm_embedding {
    struct lm_loop *loop; /* holds a reference */
    int timer;
};

/* Adds the timerfd to the loop's epoll. With the loop's lock. Like the loop's eventfd, it has no name among the
 * watches. */
LM_INTERNAL int lm_embedding_watch_timer(struct lm_embedding *embedding)
{
    struct epoll_event event;
    memset(&event, 0, sizeof event);
    event.events = EPOLLIN | EPOLLET;
    embedding->timer = lm_sys_timerfd();
    if (embedding->timer < 0)
        return embedding->timer;
    return lm_sys_epoll_control(embedding->loop->epoll, EPOLL_CTL_ADD, embedding->timer, &event);
}

LM_INTERNAL void lm_embedding_close(struct lm_embedding *embedding)
{
    lm_sys_close(&embedding->timer);
    lm_release(&embedding->loop->object);
}

/* Returns the descriptor to wait on. Whenever it is readable, as it is at first, lm_embedding_serve is due. After an
 * error there is nothing to close. */
LM_INTERNAL int lm_embedding_open(struct lm_embedding *embedding, struct lm_loop *loop)
{
    lm_retain(&loop->object);
    embedding->loop = loop;
    embedding->timer = -1;
    pthread_mutex_lock(&loop->lock);
    int result = lm_loop_open(loop);
    lm_loop_sleep_only(loop);
    if (result == 0)
        result = lm_embedding_watch_timer(embedding);
    if (result == 0)
        lm_sys_eventfd_raise(loop->bell);
    int descriptor = loop->epoll;
    pthread_mutex_unlock(&loop->lock);
    if (result == 0)
        return descriptor;
    lm_embedding_close(embedding);
    return result;
}

/* Makes the descriptor readable when there is something to do. */
LM_INTERNAL void lm_embedding_arm(struct lm_embedding *embedding)
{
    struct lm_loop *loop = embedding->loop;
    pthread_mutex_lock(&loop->lock);
    struct lm_list *first = lm_list_first(&loop->timers);
    lm_sys_timerfd_set(embedding->timer, first ? LM_CONTAINER(first, struct lm_timer, in_timers)->deadline : 0);
    if (!lm_list_empty(&loop->ready) && loop->bell >= 0)
        lm_sys_eventfd_raise(loop->bell);
    pthread_mutex_unlock(&loop->lock);
}

/* Serves what is ready, without waiting. In the loop's thread. */
LM_INTERNAL void lm_embedding_serve(struct lm_embedding *embedding)
{
    lm_loop_pass(embedding->loop, lm_now());
    lm_embedding_arm(embedding);
}

#endif
