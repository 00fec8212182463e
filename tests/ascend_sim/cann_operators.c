/*
 * The operators of the CANN stand-in: what describes them (tensors, scalars, lists), and their launches.
 *
 * No operator computes here. A launch is refused in words that name the operator, unless the thread has promised to
 * write the results itself (ascend_sim_hollow): then it succeeds and does nothing, so that torch_npu's own kernel can
 * be run for its checks, its allocations and its choice of inner operators.
 */
#include "cann_standin.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static __thread int hollow;

/* Adds to the depth of the thread's promise and returns it. */
int ascend_sim_hollow(int by) { return hollow += by; }

static aclError refuse(const char *what) {
    if (hollow > 0) return SUCCESS;
    say("ascend_sim: %.100s would launch a kernel on the simulated card, which has none; give the operator values in "
        "tests/ascend_sim/fused.py", what);
    return FEATURE_UNSUPPORTED;
}

/* --------------------------------------------------------------------------------------- descriptions (aclnn) */

/* The marks tell a tensor from the other things that an operator's first argument can be. */
enum { TENSOR_MARK = 0x7e250001, MOST_DIMENSIONS = 8 };
typedef struct {
    uint32_t mark;
    int dtype, dimensions;
    int64_t shape[MOST_DIMENSIONS];
} Tensor;
typedef struct {
    size_t size;
    void *items[];
} List;

void *aclCreateTensor(const int64_t *shape, uint64_t dimensions, int dtype, const int64_t *strides, int64_t offset,
                      int format, const int64_t *storage_shape, uint64_t storage_dimensions, void *data) {
    Tensor *made = calloc(1, sizeof *made);
    if (!made) return NULL;
    made->mark = TENSOR_MARK;
    made->dtype = dtype;
    made->dimensions = dimensions > MOST_DIMENSIONS ? MOST_DIMENSIONS : (int)dimensions;
    for (int i = 0; i < made->dimensions; i++) made->shape[i] = shape[i];
    return made;
}
aclError aclDestroyTensor(void *tensor) {
    if (tensor) ((Tensor *)tensor)->mark = 0;
    free(tensor);
    return SUCCESS;
}

static void *list_of(void *const *items, uint64_t size) {
    List *made = calloc(1, sizeof *made + size * sizeof(void *));
    if (!made) return NULL;
    made->size = size;
    for (uint64_t i = 0; i < size; i++) made->items[i] = items[i];
    return made;
}
static aclError free_list(List *list, aclError (*free_item)(void *)) {
    for (size_t i = 0; list && i < list->size; i++) free_item(list->items[i]);
    free(list);
    return SUCCESS;
}
static aclError free_plain(void *made) {
    free(made);
    return SUCCESS;
}

void *aclCreateTensorList(void *const *items, uint64_t size) { return list_of(items, size); }
aclError aclDestroyTensorList(void *list) { return free_list(list, aclDestroyTensor); }
void *aclCreateScalar(void *value, int dtype) { return calloc(1, 16); }
aclError aclDestroyScalar(void *scalar) { return free_plain(scalar); }
void *aclCreateScalarList(void *const *items, uint64_t size) { return list_of(items, size); }
aclError aclDestroyScalarList(void *list) { return free_list(list, free_plain); }
void *aclCreateIntArray(const int64_t *values, uint64_t size) { return calloc(1, 16); }
aclError aclDestroyIntArray(void *array) { return free_plain(array); }
void *aclCreateFloatArray(const float *values, uint64_t size) { return calloc(1, 16); }
aclError aclDestroyFloatArray(void *array) { return free_plain(array); }
void *aclCreateBoolArray(const bool *values, uint64_t size) { return calloc(1, 16); }
aclError aclDestroyBoolArray(void *array) { return free_plain(array); }
aclError aclDestroyAclOpExecutor(void *executor) { return SUCCESS; }
void AddTensorAddrToCachedList(void *address) {}
aclError aclGetViewShape(const void *tensor, int64_t **shape, uint64_t *dimensions) {
    const Tensor *known = tensor;
    if (!known || known->mark != TENSOR_MARK) return INVALID_PARAM;
    *shape = malloc(sizeof known->shape);
    if (!*shape) return RT_MEMORY_ALLOCATION;
    memcpy(*shape, known->shape, sizeof known->shape);
    *dimensions = (uint64_t)known->dimensions;
    return SUCCESS;
}

/* --------------------------------------------------------------------------------------- refusals */

static const char *const dtype_names[] = {
    [0] = "DT_FLOAT",      [1] = "DT_FLOAT16",     [2] = "DT_INT8",      [3] = "DT_INT32",   [4] = "DT_UINT8",
    [6] = "DT_INT16",      [7] = "DT_UINT16",      [8] = "DT_UINT32",    [9] = "DT_INT64",   [10] = "DT_UINT64",
    [11] = "DT_DOUBLE",    [12] = "DT_BOOL",       [16] = "DT_COMPLEX64", [17] = "DT_COMPLEX128",
    [27] = "DT_BFLOAT16",  [33] = "DT_COMPLEX32"};
enum { KNOWN_DTYPES = sizeof dtype_names / sizeof *dtype_names };

/*
 * Which element types CANN's operators take is known to CANN alone. Each line comes from a log in a public issue:
 *   aclnnRepeatInterleaveIntWithDim   huggingface/diffusers#10428
 *   aclnnExpm1                        sgl-project/sglang#29011
 *   aclnnInplaceNormal                flagos-ai/FlagGems#3267
 */
static const struct {
    const char *operator, *takes;
} dtypes_taken[] = {
    {"aclnnRepeatInterleaveIntWithDim",
     "DT_UINT8,DT_INT8,DT_INT16,DT_INT32,DT_INT64,DT_BOOL,DT_FLOAT16,DT_FLOAT,DT_BFLOAT16"},
    {"aclnnExpm1", "DT_FLOAT,DT_FLOAT16,DT_INT64,DT_BOOL,DT_BFLOAT16"},
    {"aclnnInplaceNormal",
     "DT_FLOAT16,DT_FLOAT,DT_DOUBLE,DT_INT16,DT_INT32,DT_INT64,DT_INT8,DT_UINT8,DT_BOOL,DT_BFLOAT16"},
};

static bool in_list(const char *item, const char *list) {
    size_t length = strlen(item);
    for (const char *at = strstr(list, item); at; at = strstr(at + 1, item))
        if ((at == list || at[-1] == ',') && (at[length] == ',' || !at[length])) return true;
    return false;
}

static aclError check_dtype(const char *operator, const Tensor *first) {
    /* The first argument may be a number or a null; what a tensor's address can be is read, nothing else. */
    if ((uintptr_t)first < 4096 || (uintptr_t)first % 8 || first->mark != TENSOR_MARK) return SUCCESS;
    const char *name = first->dtype >= 0 && first->dtype < KNOWN_DTYPES ? dtype_names[first->dtype] : NULL;
    for (size_t i = 0; i < sizeof dtypes_taken / sizeof *dtypes_taken; i++) {
        if (strcmp(dtypes_taken[i].operator, operator)) continue;
        if (name && in_list(name, dtypes_taken[i].takes)) return SUCCESS;
        say("AclNN_Parameter_Error(EZ1001): Tensor self not implemented for %s, should be in dtype support list [%s].",
            name ? name : "an unknown dtype", dtypes_taken[i].takes);
        return NN_PARAM_INVALID;
    }
    return SUCCESS;
}

/* --------------------------------------------------------------------------------------- launches */

/*
 * Whether torch_npu launches on a thread of its own, as it does unless it is told otherwise. Without that thread it
 * gives up Python's lock around a launch and does not take it back when the launch fails: called from Python kernels,
 * as here, the process would be aborted. So a launch that fails then fails in its first half, which reads the same.
 */
static bool queued(void) {
    static int known = -1;
    if (known < 0) {
        const char *queue = getenv("TASK_QUEUE_ENABLE"), *blocking = getenv("ASCEND_LAUNCH_BLOCKING");
        known = !(queue && !strcmp(queue, "0")) && !(blocking && !strcmp(blocking, "1"));
    }
    return known;
}

/* First half of an aclnn call, on the caller's thread: the checks. libopapi.so calls it for each operator. */
aclError ascend_sim_describe(const char *operator, const void *first) {
    LOG_CALL("%s", operator);
    aclError answer = check_dtype(operator, first);
    if (!answer) answer = refuse(operator);
    return answer || queued() ? answer : launch_on(current_card(), operator);
}

/* Second half, on torch_npu's own thread: the launch on the stream's card. */
aclError ascend_sim_launch_on_stream(const char *operator, const void *stream) {
    return queued() ? launch_on(stream ? ((const Stream *)stream)->card : current_card(), operator) : SUCCESS;
}

static aclError launch_here(const char *what) {
    aclError answer = refuse(what);
    return answer ? answer : launch_on(current_card(), what);
}

/*
 * The older interface (aclop), which a current card's torch_npu still uses for a few operators. It describes them on
 * the caller's thread and launches them on its queue's thread, so the caller's promise travels in the descriptions.
 */
static int promised, nothing; /* what descriptions point to; only their addresses matter */
void *aclCreateTensorDesc(int dtype, int dimensions, const int64_t *shape, int format) {
    return hollow > 0 ? &promised : &nothing;
}
void aclDestroyTensorDesc(const void *description) {}
aclError aclopCompileAndExecute(const char *operator, int inputs, void *const *input_descriptions, void *input_data,
                                int outputs, void *const *output_descriptions, void *output_data, void *attributes,
                                int engine, int compile, const char *path, void *stream) {
    bool kept = (inputs && *input_descriptions == &promised) || (outputs && *output_descriptions == &promised);
    aclError answer = kept ? SUCCESS : refuse(operator);
    return answer ? answer : launch_on(stream ? ((const Stream *)stream)->card : current_card(), operator);
}
aclError aclopCompileAndExecuteV2(const char *operator, int inputs, void *const *input_descriptions, void *input_data,
                                  int outputs, void *const *output_descriptions, void *output_data, void *attributes,
                                  int engine, int compile, const char *path, void *stream) {
    return aclopCompileAndExecute(operator, inputs, input_descriptions, input_data, outputs, output_descriptions,
                                  output_data, attributes, engine, compile, path, stream);
}

void *aclCreateDataBuffer(void *data, size_t size) { return &nothing; }
aclError aclDestroyDataBuffer(const void *buffer) { return SUCCESS; }
aclError aclGetTensorDescDimV2(const void *description, size_t which, int64_t *size) {
    *size = 0;
    return SUCCESS;
}
int aclGetTensorDescFormat(const void *description) { return 2; /* ND: no private layout */ }
size_t aclGetTensorDescNumDims(const void *description) { return 0; }
int aclGetTensorDescType(const void *description) { return 0; }
void aclSetTensorDescName(void *description, const char *name) {}
aclError aclSetTensorFormat(void *description, int format) { return SUCCESS; }
aclError aclSetTensorPlaceMent(void *description, int placement) { return SUCCESS; }
aclError aclSetTensorShape(void *description, int dimensions, const int64_t *shape) { return SUCCESS; }
#define IGNORED(NAME) aclError NAME(void) { return SUCCESS; }
void *aclopCreateAttr(void) { return &nothing; }
void aclopDestroyAttr(const void *attributes) {}
IGNORED(aclopSetAttrBool)
IGNORED(aclopSetAttrDataType)
IGNORED(aclopSetAttrFloat)
IGNORED(aclopSetAttrInt)
IGNORED(aclopSetAttrListBool)
IGNORED(aclopSetAttrListFloat)
IGNORED(aclopSetAttrListInt)
IGNORED(aclopSetAttrListListInt)
IGNORED(aclopSetAttrString)

/* Kernels that torch_npu brings as binaries. */
#define REFUSED(NAME) aclError NAME(void) { return launch_here(#NAME); }
REFUSED(aclrtBinaryLoadFromData)
REFUSED(aclrtBinaryGetFunction)
REFUSED(aclrtGetFunctionAddr)
REFUSED(rtDevBinaryRegister)
REFUSED(rtFunctionRegister)
REFUSED(rtGetC2cCtrlAddr)
REFUSED(rtKernelLaunch)
