/* What the two halves of the CANN stand-in share: cann_runtime.c (cards) and cann_operators.c (launches). */
#ifndef CANN_STANDIN_H
#define CANN_STANDIN_H

#include <stddef.h>
#include <stdint.h>

typedef int aclError;

/* Numbers of CANN's own error codes (acl/error_codes/rt_error_codes.h and acl_base.h). */
enum {
    SUCCESS = 0,
    INVALID_PARAM = 100000,
    REPEAT_INITIALIZE = 100002,
    RT_INVALID_DEVICEID = 107001,
    RT_CONTEXT_NULL = 107002,
    NN_PARAM_INVALID = 161002,
    FEATURE_UNSUPPORTED = 200007,
    RT_FEATURE_NOT_SUPPORT = 207000,
    RT_MEMORY_ALLOCATION = 207001,
    RT_NO_DEVICE = 207004,
    RT_LOST_HEARTBEAT = 507010,
};

typedef struct {
    int card, id;
} Stream;

/* Ours, and no names of CANN's: other libraries of the process must not find them. */
#pragma GCC visibility push(hidden)

/* The card that a call from this thread is for: the one set last, or card 0 while none was set. */
int current_card(void);

/* SUCCESS, or the code of a card that no longer answers, with the words for aclGetRecentErrMsg() set. */
aclError work_on(int card, const char *what);

/* The same for an operator: counts the launch, and loses the card when its number has come. */
aclError launch_on(int card, const char *what);

/* Sets the words that aclGetRecentErrMsg() gives to this thread next. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ASCEND_SIM_LOG: 0 silent, 1 torch_npu's own log lines, 2 also the calls made here. */
int log_level(void);
void log_call(const char *function, const char *format, ...) __attribute__((format(printf, 2, 3)));
#pragma GCC visibility pop

#define LOG_CALL(...) do { if (log_level() > 1) log_call(__func__, __VA_ARGS__); } while (0)

#endif
