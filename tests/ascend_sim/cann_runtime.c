/*
 * A stand-in for the CANN runtime: simulated Ascend cards, for tests on machines with neither card nor CANN.
 *
 * It answers the part of AscendCL that torch_npu's libraries link to or look up by dlsym(). A card's memory is host
 * memory, so its addresses can be read and written by the CPU; every copy is a memmove(), every stream is in order
 * and already drained, an event is a clock reading. Nothing is asynchronous and no time means anything.
 *
 *   ASCEND_SIM_DEVICES           number of cards, at most 16 (0: CANN is there, a card is not)
 *   ASCEND_SIM_SOC               name of the chip (Ascend910B4)
 *   ASCEND_SIM_HBM_MB            memory of each card in MiB (65536)
 *   ASCEND_SIM_CANN              CANN version to report (8.5.0)
 *   ASCEND_SIM_DRIVER            driver version to report (24.1.0)
 *   ASCEND_SIM_LOSE_CARD_AFTER   N: the card on which the N-th operator of the process is launched is lost from then on
 *   ASCEND_SIM_LOG               1: torch_npu's own log on stderr, 2: also the calls made here
 *
 * ASCEND_RT_VISIBLE_DEVICES is honoured as the runtime does: a list of numbers, read up to the first that is no card.
 */
#define _GNU_SOURCE
#include "cann_standin.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CARDS = 16, PAGE = 4096 };

/* A program can tell a simulated card from a real one by this symbol; no CANN library has it. */
extern const char ascend_sim_stand_in[];
const char ascend_sim_stand_in[] = "simulated Ascend cards: host memory, CPU arithmetic, no CANN";

/* --------------------------------------------------------------------------------------- settings, log, words */

static int whole_number(const char *name, int otherwise) {
    const char *text = getenv(name);
    return text && *text ? atoi(text) : otherwise;
}

static const char *words(const char *name, const char *otherwise) {
    const char *text = getenv(name);
    return text && *text ? text : otherwise;
}

int log_level(void) {
    static int level = -1;
    if (level < 0) level = whole_number("ASCEND_SIM_LOG", 0);
    return level;
}

void log_call(const char *function, const char *format, ...) {
    va_list rest;
    va_start(rest, format);
    fprintf(stderr, "[ascend_sim] %s ", function);
    vfprintf(stderr, format, rest);
    fputc('\n', stderr);
    va_end(rest);
}

void aclAppLog(int level, const char *function, const char *file, uint32_t line, const char *format, ...) {
    if (!log_level()) return;
    va_list rest;
    va_start(rest, format);
    fprintf(stderr, "[torch_npu %d] %s:%u %s ", level, file, line, function);
    vfprintf(stderr, format, rest);
    fputc('\n', stderr);
    va_end(rest);
}

static __thread char said[640];

void say(const char *format, ...) {
    va_list rest;
    va_start(rest, format);
    vsnprintf(said, sizeof said, format, rest);
    va_end(rest);
}

const char *aclGetRecentErrMsg(void) {
    static __thread char given[sizeof said];
    memcpy(given, said, sizeof given);
    said[0] = 0; /* CANN gives a message once */
    return given[0] ? given : NULL;
}

/* --------------------------------------------------------------------------------------- cards */

static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static int contexts[MAX_CARDS]; /* only their addresses matter */
static bool initialised;
static __thread int chosen_card = -1;

static int visible(int present) {
    const char *list = getenv("ASCEND_RT_VISIBLE_DEVICES");
    if (!list) return present;
    int seen = 0;
    while (*list >= '0' && *list <= '9') {
        char *end;
        if (strtol(list, &end, 10) >= present) break;
        seen++;
        if (*end != ',') break;
        list = end + 1;
    }
    return seen;
}

static int cards(void) {
    static int count = -1; /* the runtime too reads the environment once */
    if (count < 0) {
        int present = whole_number("ASCEND_SIM_DEVICES", 0);
        count = visible(present < 0 ? 0 : present > MAX_CARDS ? MAX_CARDS : present);
    }
    return count;
}

static size_t card_memory(void) { return (size_t)whole_number("ASCEND_SIM_HBM_MB", 65536) << 20; }

int current_card(void) { return chosen_card < 0 ? 0 : chosen_card; }

aclError aclInit(const char *config) {
    LOG_CALL("%s", config ? config : "-");
    if (!cards()) {
        say("ascend_sim: ASCEND_SIM_DEVICES and ASCEND_RT_VISIBLE_DEVICES leave no card");
        return RT_NO_DEVICE;
    }
    if (initialised) return REPEAT_INITIALIZE;
    initialised = true;
    return SUCCESS;
}

aclError aclFinalize(void) {
    initialised = false;
    return SUCCESS;
}

aclError aclrtGetDeviceCount(uint32_t *count) {
    *count = (uint32_t)cards();
    return *count ? SUCCESS : RT_NO_DEVICE;
}

aclError aclrtSetDevice(int32_t card) {
    LOG_CALL("%d", card);
    if (card < 0 || card >= cards()) return RT_INVALID_DEVICEID;
    chosen_card = card;
    return SUCCESS;
}

aclError aclrtResetDevice(int32_t card) { return SUCCESS; }

aclError aclrtGetDevice(int32_t *card) {
    if (chosen_card < 0) return RT_CONTEXT_NULL;
    *card = chosen_card;
    return SUCCESS;
}

aclError aclrtGetCurrentContext(void **context) {
    if (chosen_card < 0) return RT_CONTEXT_NULL;
    *context = &contexts[chosen_card];
    return SUCCESS;
}

aclError aclrtSetCurrentContext(void *context) {
    if (!context) return INVALID_PARAM;
    chosen_card = (int)((int *)context - contexts);
    return SUCCESS;
}

aclError aclrtGetPrimaryCtxState(int32_t card, uint32_t *flags, int32_t *active) {
    if (flags) *flags = 0;
    if (active) *active = card < cards() && initialised;
    return SUCCESS;
}

const char *aclrtGetSocName(void) { return cards() ? words("ASCEND_SIM_SOC", "Ascend910B4") : NULL; }

/* --------------------------------------------------------------------------------------- a card that is lost */

static atomic_long launches;
static atomic_long lose_at = -1; /* number of the launch at which its card is lost; 0: none */
static atomic_long lost_at[MAX_CARDS]; /* number of the launch at which the card was lost; 0: it works */

aclError work_on(int card, const char *what) {
    long at = atomic_load(&lost_at[card]);
    if (!at) return SUCCESS;
    /* 507010 is what the runtime answers to launches and synchronisation once a card's task scheduler is silent. */
    say("EE9999: Inner Error!\n        %.100s execute failed, reason=[ts lost heartbeat] "
        "(ascend_sim: simulated card %d was lost at operator launch %ld)", what, card, at);
    return RT_LOST_HEARTBEAT;
}

aclError launch_on(int card, const char *what) {
    long number = atomic_fetch_add(&launches, 1) + 1, limit = atomic_load(&lose_at);
    if (limit < 0) atomic_store(&lose_at, limit = whole_number("ASCEND_SIM_LOSE_CARD_AFTER", 0));
    if (limit && number >= limit) {
        atomic_store(&lose_at, 0);
        atomic_store(&lost_at[card], number);
    }
    return work_on(card, what);
}

/* For tests in the same process: lose the card of the launch that is `more` launches away (1: the next), or none. */
void ascend_sim_lose_card_after(long more) { atomic_store(&lose_at, more > 0 ? atomic_load(&launches) + more : 0); }
void ascend_sim_lose_card(int card) { atomic_store(&lost_at[card], atomic_load(&launches) + 1); }
void ascend_sim_restore_card(int card) { atomic_store(&lost_at[card], 0); }

/* For kernels that compute outside torch_npu's own: one launch on that card. */
aclError ascend_sim_launch(const char *what, int card) { return launch_on(card, what); }

/* --------------------------------------------------------------------------------------- memory */

typedef enum { ON_CARD, ON_HOST, RESERVED, MAPPED } Kind;
typedef struct Block {
    void *at;
    size_t size;
    Kind kind;
    int card;
    struct Block *next;
} Block;
static Block *blocks;
static size_t used[MAX_CARDS];

/* The caller holds the guard. */
static bool remember(void *at, size_t size, Kind kind, int card) {
    Block *block = malloc(sizeof *block);
    if (!block) return false;
    *block = (Block){at, size, kind, card, blocks};
    blocks = block;
    return true;
}

/* Takes the block out of the list and gives it to the caller, who frees it; NULL when there is none. */
static Block *forget(const void *at, Kind kind) {
    pthread_mutex_lock(&guard);
    Block **link = &blocks;
    while (*link && ((*link)->at != at || (*link)->kind != kind)) link = &(*link)->next;
    Block *found = *link;
    if (found) {
        *link = found->next;
        if (kind == ON_CARD) used[found->card] -= found->size;
    }
    pthread_mutex_unlock(&guard);
    return found;
}

static aclError take(void **out, size_t size, Kind kind) {
    int card = current_card();
    *out = NULL;
    if (!size) return INVALID_PARAM;
    size_t whole = (size + 32 + PAGE - 1) & ~(size_t)(PAGE - 1);
    pthread_mutex_lock(&guard);
    aclError answer = RT_MEMORY_ALLOCATION;
    if (kind == ON_CARD && used[card] + whole > card_memory()) {
        say("ascend_sim: simulated card %d is full: %zu bytes asked, %zu of %zu in use", card, size, used[card],
            card_memory());
    } else {
        /* Pages that nothing touches cost nothing: a 64 GiB card fits on a small machine. */
        void *at = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (at != MAP_FAILED && remember(at, whole, kind, card)) {
            if (kind == ON_CARD) used[card] += whole;
            *out = at;
            answer = SUCCESS;
        }
    }
    pthread_mutex_unlock(&guard);
    LOG_CALL("card %d, %zu bytes -> %p", card, size, *out);
    return answer;
}

static aclError give_back(void *at, Kind kind) {
    Block *block = at ? forget(at, kind) : NULL;
    if (!block) return INVALID_PARAM;
    munmap(block->at, block->size);
    free(block);
    return SUCCESS;
}

aclError aclrtMalloc(void **at, size_t size, int policy) {
    aclError answer = work_on(current_card(), "aclrtMalloc");
    return answer ? answer : take(at, size, ON_CARD);
}
aclError aclrtMallocAlign32(void **at, size_t size, int policy) { return aclrtMalloc(at, size, policy); }
/* Freeing works on a lost card: destructors call it, and a failure there would end the process. */
aclError aclrtFree(void *at) { return give_back(at, ON_CARD); }
aclError aclrtMallocHost(void **at, size_t size) { return take(at, size, ON_HOST); }
aclError aclrtFreeHost(void *at) { return give_back(at, ON_HOST); }

aclError aclrtGetMemInfo(int attribute, size_t *available, size_t *total) {
    pthread_mutex_lock(&guard);
    *total = card_memory();
    *available = *total - used[current_card()];
    pthread_mutex_unlock(&guard);
    return SUCCESS;
}

static aclError copy(void *to, size_t room, const void *from, size_t size, int card, const char *what) {
    if (size > room) return INVALID_PARAM;
    aclError answer = work_on(card, what);
    if (!answer) memmove(to, from, size);
    return answer;
}
aclError aclrtMemcpy(void *to, size_t room, const void *from, size_t size, int kind) {
    return copy(to, room, from, size, current_card(), __func__);
}
aclError aclrtMemcpyAsync(void *to, size_t room, const void *from, size_t size, int kind, void *stream) {
    return copy(to, room, from, size, stream ? ((Stream *)stream)->card : current_card(), __func__);
}
aclError aclrtMemset(void *at, size_t room, int32_t value, size_t size) {
    if (size > room) return INVALID_PARAM;
    aclError answer = work_on(current_card(), __func__);
    if (!answer) memset(at, value, size);
    return answer;
}
aclError aclrtMemsetAsync(void *at, size_t room, int32_t value, size_t size, void *stream) {
    return aclrtMemset(at, room, value, size);
}

aclError aclrtHostRegister(void *at, uint64_t size, int type, void **card_address) {
    *card_address = at;
    return SUCCESS;
}
aclError aclrtHostRegisterV2(void *at, uint64_t size, uint32_t flag) { return SUCCESS; }
aclError aclrtHostUnregister(void *at) { return SUCCESS; }

/* aclrtPtrAttributes: { { id, type: 0 host, 1 card, 2 unknown }, page size, reserved } in 32-bit words */
aclError aclrtPointerGetAttributes(const void *at, uint32_t *attributes) {
    attributes[0] = 0;
    attributes[1] = 2;
    attributes[2] = PAGE;
    pthread_mutex_lock(&guard);
    for (const Block *block = blocks; block; block = block->next) {
        const char *start = block->at;
        if (block->kind == RESERVED || (const char *)at < start || (const char *)at >= start + block->size) continue;
        attributes[0] = block->kind == ON_HOST ? 0 : (uint32_t)block->card;
        attributes[1] = block->kind == ON_HOST ? 0 : 1;
        break;
    }
    pthread_mutex_unlock(&guard);
    return SUCCESS;
}

/* Expandable segments: addresses are reserved, memory is made, and the one is mapped to the other. */
typedef struct {
    int file;
    size_t size;
    int card;
} Physical;

aclError aclrtReserveMemAddress(void **at, size_t size, size_t alignment, void *wanted, uint64_t flags) {
    void *start = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED) return RT_MEMORY_ALLOCATION;
    pthread_mutex_lock(&guard);
    bool kept = remember(start, size, RESERVED, current_card());
    pthread_mutex_unlock(&guard);
    *at = start;
    return kept ? SUCCESS : RT_MEMORY_ALLOCATION;
}
aclError aclrtReleaseMemAddress(void *at) { return give_back(at, RESERVED); }

aclError aclrtMallocPhysical(void **handle, size_t size, const uint32_t *properties, uint64_t flags) {
    /* aclrtPhysicalMemProp: { handle type, allocation type, memory attribute, { id, type }, reserved } */
    int card = properties && (int)properties[3] < cards() ? (int)properties[3] : current_card();
    Physical *memory = malloc(sizeof *memory);
    if (!memory) return RT_MEMORY_ALLOCATION;
    *memory = (Physical){memfd_create("ascend_sim", MFD_CLOEXEC), size, card};
    pthread_mutex_lock(&guard);
    bool fits = used[card] + size <= card_memory();
    if (fits) used[card] += size;
    pthread_mutex_unlock(&guard);
    if (!fits || memory->file < 0 || ftruncate(memory->file, (off_t)size)) {
        if (memory->file >= 0) close(memory->file);
        if (fits) {
            pthread_mutex_lock(&guard);
            used[card] -= size;
            pthread_mutex_unlock(&guard);
        }
        free(memory);
        return RT_MEMORY_ALLOCATION;
    }
    *handle = memory;
    return SUCCESS;
}

aclError aclrtFreePhysical(void *handle) {
    Physical *memory = handle;
    close(memory->file);
    pthread_mutex_lock(&guard);
    used[memory->card] -= memory->size;
    pthread_mutex_unlock(&guard);
    free(memory);
    return SUCCESS;
}

aclError aclrtMapMem(void *at, size_t size, size_t offset, void *handle, uint64_t flags) {
    const Physical *memory = handle;
    if (mmap(at, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, memory->file, (off_t)offset) == MAP_FAILED)
        return RT_MEMORY_ALLOCATION;
    pthread_mutex_lock(&guard);
    bool kept = remember(at, size, MAPPED, memory->card);
    pthread_mutex_unlock(&guard);
    return kept ? SUCCESS : RT_MEMORY_ALLOCATION;
}

aclError aclrtUnmapMem(void *at) {
    Block *block = forget(at, MAPPED);
    if (!block) return INVALID_PARAM;
    /* The addresses stay reserved. */
    mmap(at, block->size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    free(block);
    return SUCCESS;
}

aclError aclrtMemExportToShareableHandle(void *h, int type, uint64_t flags, uint64_t *out) {
    return RT_FEATURE_NOT_SUPPORT;
}
aclError aclrtMemImportFromShareableHandle(uint64_t shared, int32_t card, void **h) { return RT_FEATURE_NOT_SUPPORT; }
aclError aclrtMemSetPidToShareableHandle(uint64_t shared, int32_t *pid, size_t n) { return RT_FEATURE_NOT_SUPPORT; }
aclError aclrtDeviceGetBareTgid(int32_t *pid) {
    *pid = getpid();
    return SUCCESS;
}
aclError aclrtDeviceCanAccessPeer(int32_t *can, int32_t card, int32_t peer) {
    *can = card != peer;
    return SUCCESS;
}
aclError aclrtDeviceEnablePeerAccess(int32_t peer, uint32_t flags) { return SUCCESS; }

/* --------------------------------------------------------------------------------------- streams and events */

typedef struct {
    struct timespec at;
} Event;

aclError aclrtCreateStreamWithConfig(void **stream, uint32_t priority, uint32_t flag) {
    static atomic_int next = 1;
    Stream *made = malloc(sizeof *made);
    if (!made) return RT_MEMORY_ALLOCATION;
    *made = (Stream){current_card(), atomic_fetch_add(&next, 1)};
    *stream = made;
    return SUCCESS;
}
aclError aclrtCreateStream(void **stream) { return aclrtCreateStreamWithConfig(stream, 0, 0); }
aclError aclrtDestroyStream(void *stream) {
    free(stream);
    return SUCCESS;
}
aclError aclrtDestroyStreamForce(void *stream) { return aclrtDestroyStream(stream); }

static int card_of(const void *stream) { return stream ? ((const Stream *)stream)->card : current_card(); }

aclError aclrtSynchronizeStream(void *stream) { return work_on(card_of(stream), __func__); }
aclError aclrtSynchronizeStreamWithTimeout(void *stream, int32_t ms) { return work_on(card_of(stream), __func__); }
aclError aclrtSynchronizeDevice(void) { return work_on(current_card(), __func__); }
aclError aclrtSynchronizeDeviceWithTimeout(int32_t ms) { return work_on(current_card(), __func__); }
aclError aclrtStreamQuery(void *stream, int *status) {
    *status = 0; /* complete */
    return work_on(card_of(stream), __func__);
}
aclError aclrtStreamGetId(void *stream, int32_t *id) {
    *id = stream ? ((Stream *)stream)->id : 0;
    return SUCCESS;
}
aclError aclrtStreamWaitEvent(void *stream, void *event) { return SUCCESS; }
aclError aclrtSetStreamFailureMode(void *stream, uint64_t mode) { return SUCCESS; }
aclError aclrtSetStreamOverflowSwitch(void *stream, uint32_t flag) { return SUCCESS; }
aclError aclrtGetStreamOverflowSwitch(void *stream, uint32_t *flag) {
    *flag = 0;
    return SUCCESS;
}

aclError aclrtCreateEventExWithFlag(void **event, uint32_t flag) {
    *event = calloc(1, sizeof(Event));
    return *event ? SUCCESS : RT_MEMORY_ALLOCATION;
}
aclError aclrtCreateEventWithFlag(void **event, uint32_t flag) { return aclrtCreateEventExWithFlag(event, flag); }
aclError aclrtDestroyEvent(void *event) {
    free(event);
    return SUCCESS;
}
aclError aclrtRecordEvent(void *event, void *stream) {
    clock_gettime(CLOCK_MONOTONIC, &((Event *)event)->at);
    return work_on(card_of(stream), __func__);
}
aclError aclrtResetEvent(void *event, void *stream) { return SUCCESS; }
aclError aclrtSynchronizeEvent(void *event) { return work_on(current_card(), __func__); }
aclError aclrtQueryEventStatus(void *event, int *status) {
    *status = 1; /* complete */
    return SUCCESS;
}
aclError aclrtQueryEventWaitStatus(void *event, int *status) {
    *status = 0; /* complete */
    return SUCCESS;
}
aclError aclrtEventElapsedTime(float *ms, void *start, void *end) {
    const Event *from = start, *to = end;
    double seconds = (double)(to->at.tv_sec - from->at.tv_sec) + (double)(to->at.tv_nsec - from->at.tv_nsec) / 1e9;
    *ms = (float)(seconds * 1e3);
    return SUCCESS;
}
aclError aclrtEventGetTimestamp(void *event, uint64_t *microseconds) {
    const Event *at = event;
    *microseconds = (uint64_t)at->at.tv_sec * 1000000u + (uint64_t)at->at.tv_nsec / 1000u;
    return SUCCESS;
}

aclError aclrtSubscribeReport(uint64_t thread, void *stream) { return SUCCESS; }
aclError aclrtUnSubscribeReport(uint64_t thread, void *stream) { return SUCCESS; }
aclError aclrtProcessReport(int32_t ms) {
    usleep((useconds_t)(ms > 0 && ms < 100 ? ms : 100) * 1000);
    return SUCCESS;
}
aclError aclrtLaunchCallback(void (*function)(void *), void *argument, int block, void *stream) {
    function(argument);
    return SUCCESS;
}
aclError aclrtLaunchHostFunc(void *stream, void (*function)(void *), void *argument) {
    function(argument);
    return SUCCESS;
}

/* --------------------------------------------------------------------------------------- the platform */

aclError aclrtSetDeviceSatMode(int mode) { return SUCCESS; }
aclError aclrtSetOpExecuteTimeOut(uint32_t seconds) { return SUCCESS; }
aclError aclrtSetOpExecuteTimeOutV2(uint64_t wanted, uint64_t *actual) {
    if (actual) *actual = wanted;
    return SUCCESS;
}
aclError aclrtSetOpWaitTimeout(uint32_t seconds) { return SUCCESS; }
aclError aclrtGetLastError(int level) { return SUCCESS; }
aclError aclrtPeekAtLastError(int level) { return SUCCESS; }
aclError aclGetCannAttribute(int attribute, int32_t *value) {
    *value = 1;
    return SUCCESS;
}
aclError aclGetDeviceCapability(uint32_t card, int what, int64_t *value) {
    /* cube cores, vector cores, bytes of second-level cache: a 910B4's */
    static const int64_t known[] = {20, 40, 192 << 20};
    *value = what >= 0 && what < 3 ? known[what] : 0;
    return SUCCESS;
}
aclError aclrtGetDeviceUtilizationRate(int32_t card, int32_t *rates) {
    memset(rates, 0, 4 * sizeof *rates);
    return SUCCESS;
}

struct version {
    char all[128], major[64], minor[64], release[64], patch[64], reserved[128];
};
enum { DRIVER_PACKAGE = 7 };
aclError aclsysGetCANNVersion(int package, struct version *version) {
    memset(version, 0, sizeof *version);
    const char *text = package == DRIVER_PACKAGE ? words("ASCEND_SIM_DRIVER", "24.1.0") : words("ASCEND_SIM_CANN", "8.5.0");
    snprintf(version->all, sizeof version->all, "%s", text);
    return SUCCESS;
}
aclError aclsysGetVersionStr(char *package, char *out) {
    snprintf(out, sizeof(((struct version *)0)->all), "%s", words("ASCEND_SIM_CANN", "8.5.0"));
    return SUCCESS;
}

/* Without aclrtGetSysParamOpt torch_npu stops at its first use of a card with "error code is 500000". */
static int64_t system_options[8];
aclError aclrtSetSysParamOpt(int option, int64_t value) {
    if (option >= 0 && option < 8) system_options[option] = value;
    return SUCCESS;
}
aclError aclrtCtxSetSysParamOpt(int option, int64_t value) { return aclrtSetSysParamOpt(option, value); }
aclError aclrtGetSysParamOpt(int option, int64_t *value) {
    *value = option >= 0 && option < 8 ? system_options[option] : 0;
    return SUCCESS;
}
/* aclGetCompileopt and aclGetCompileoptSize are left out: torch_npu copes without them. */
aclError aclSetCompileopt(int option, const char *value) { return SUCCESS; }
int HcclSetConfig(int what, int64_t value) { return SUCCESS; }

aclError aclmdlInitDump(void) { return SUCCESS; }
aclError aclmdlSetDump(const char *config) { return SUCCESS; }
aclError aclmdlFinalizeDump(void) { return SUCCESS; }

uint64_t MsprofGetHashId(const char *text, size_t size) { return 0; }
int32_t MsprofRegisterCallback(uint32_t module, void *callback) { return 0; }
int32_t MsprofReportAdditionalInfo(uint32_t ageing, const void *data, uint32_t size) { return 0; }
int32_t MsprofReportApi(uint32_t ageing, const void *data) { return 0; }
int32_t MsprofReportCompactInfo(uint32_t ageing, const void *data, uint32_t size) { return 0; }
uint64_t MsprofSysCycleTime(void) { return 0; }
