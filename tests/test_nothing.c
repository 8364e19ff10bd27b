/*
 * test_nothing.c - every public function with what isn't there: NULL, no list, sizes that can't
 * be.  That each returns, and that the rest still works, is the test; other files read what they say.
 */
#include "tests/files.h"

/* The call is made and returns; an error that it leaves is cleared. */
#define S(...)                                                                           \
    do {                                                                                 \
        CASE("%.150s", #__VA_ARGS__);                                                    \
        (void)(__VA_ARGS__);                                                             \
        tp_clear_error();                                                                \
    } while (0)
#pragma GCC diagnostic ignored "-Wunused-result"
#pragma GCC diagnostic ignored "-Wnonnull"
#pragma GCC diagnostic ignored "-Wformat-zero-length"

static bool fails(tp_call *c)
{
    (void)c;
    return false;
}

static bool fails_back(tp_call *c, tp_tensor *const *dy, tp_tensor **dx)
{
    (void)c, (void)dy, (void)dx;
    return false;
}

static tp_got never_get(void *user, int64_t i, void *const *fields)
{
    (void)user, (void)i, (void)fields;
    return TP_FAILED;
}

/* What the calls are made with, as far as they have something. */
static tp_device *D;
static tp_tensor *x, *out[4];
static tp_module *m;
static tp_optim *o;
static tp_state *st;
static tp_loader *l;
static tp_logger *lg;
static tp_file *f;
static const tp_user_op op = { "n", fails, fails_back }, none;
static const tp_list lost = { NULL, 2 };

static void open_all(void)
{
    make_test_folder();
    D = tp_device_open("cpu"), x = tp_keep(tp_ones(TP_SHAPE(2, 2), TP_F32, D));
    m = tp_nn_init(tp_nn_linear(2, 2), D), o = tp_optim_sgd(tp_nn_params(m, "*"), tp_sgd(1));
    st = tp_state_new(), lg = tp_log_open((tp_log_opts){ 0 });
    l = tp_data_loader(tp_data_tensors(TP_LIST(x)), (tp_loader_opts){ 0 });
    cr_assert(tp_nn_save(m, in_folder("n")) && (f = tp_file_open(in_folder("n"))));
}

static void close_all(void)
{
    CHECK(tp_ok());
    tp_file_close(f), tp_data_free(l), tp_log_close(lg), tp_state_free(st), tp_optim_free(o), tp_nn_free(m), tp_free(x);
    remove_test_folder();
}

#define WITH_ALL .init = open_all, .fini = close_all, .timeout = 60

Test(nothing, devices, WITH_ALL)
{
    TP_SCOPE;
    S(tp_device_open(NULL));
    S(tp_device_name(NULL));
    S(tp_device_describe(NULL));
    S(tp_device_wait(NULL));
    S(tp_memory_stats(NULL));
    S(tp_memory_reset_peak(NULL), 0);
    S(tp_memory_trim(NULL), 0);
}

Test(nothing, making, WITH_ALL)
{
    TP_SCOPE;
    S(tp_from(NULL, TP_SHAPE(2), TP_F32, D));
    S(tp_wrap(NULL, TP_SHAPE(2), TP_F32, NULL, NULL));
    S(tp_zeros_like(NULL));
    S(tp_rand_like(NULL));
    S(tp_randn_like(NULL));
    S(tp_rand(TP_SHAPE(2), NULL));
}

Test(nothing, shapes_and_text, WITH_ALL)
{
    TP_SCOPE;
    S(tp_dtype_name(99));
    S(tp_dtype_size(99));
    S(tp_dtype_name(-1));
    S(tp_promote(99, -5));
    S(tp_read(NULL, NULL, 4));
    S(tp_read(x, NULL, 16));
    S(tp_item(NULL));
    S(tp_f32(NULL));
    S(tp_print(NULL, NULL, 0));
    S(tp_print(x, NULL, 99));
}

Test(nothing, lifetimes, WITH_ALL)
{
    TP_SCOPE;
    S(tp_store(NULL, x));
    S(tp_keep(NULL));
    S(tp_pass(NULL));
    S(tp_free(NULL), 0);
    S(tp_scope_end((tp_scope){ 9999 }), 0);
    S(tp_scope_end((tp_scope){ -5 }), 0);
    S(tp_set_threads(-5), 0);
    S(tp_fail(TP_ERR_ARG, NULL));
    S(tp_shape_of(NULL));
    S(tp_dim(x, INT32_MIN));
    S(tp_dim(x, INT32_MAX));
}

Test(nothing, leaves_and_gradients, WITH_ALL)
{
    TP_SCOPE;
    S(tp_requires_grad(NULL, 1));
    S(tp_grad(NULL));
    S(tp_zero_grad(NULL));
    S(tp_backward(NULL));
    S(tp_grad_of(NULL, NULL, (tp_grad_opts){ 0 }));
    S(tp_grads_of(lost, lost, NULL, (tp_grad_opts){ 0 }));
    S(tp_grads_of((tp_list){ 0 }, (tp_list){ 0 }, NULL, (tp_grad_opts){ 0 }));
    S(tp_capture_new(NULL, NULL, NULL));
    S(tp_capture_run(NULL));
    S(tp_capture_recorded(NULL), 0);
    S(tp_capture_free(NULL), 0);
}

Test(nothing, modes_and_writes, WITH_ALL)
{
    TP_SCOPE;
    S(tp_mode_end((tp_mode){ 99, 99 }), 0);
    S(tp_autocast_begin(99));
    S(tp_fill_(NULL, 1));
    S(tp_copy_(NULL, NULL));
    S(tp_add_hook(x, NULL, NULL));
    S(tp_add_leaf_hook(NULL, NULL, NULL));
    S(tp_checkpoint(NULL, lost, NULL, NULL, -3));
    S(tp_apply(NULL, lost, NULL, 0));
    S(tp_apply(&op, lost, NULL, 0));
    S(tp_apply(&none, TP_LIST(x), NULL, 0));
    S(tp_apply(&op, TP_LIST(x), NULL, 12));
    S(tp_apply_all(&op, TP_LIST(x), NULL, 0, NULL, 3));
    S(tp_apply(&op, TP_LIST(x), NULL, SIZE_MAX));
}

Test(nothing, gradcheck, WITH_ALL)
{
    TP_SCOPE;
    S(tp_gradcheck(NULL, lost, NULL, NULL));
    S(tp_gradgradcheck(NULL, lost, NULL, NULL));
}

Test(nothing, ops, WITH_ALL)
{
    TP_SCOPE;
    S(tp_split(x, 0, 2, NULL));
    S(tp_split(NULL, 0, 2, out));
    S(tp_split_sizes(x, 0, NULL, 2, out));
    S(tp_split_sizes(x, 0, NULL, -2, NULL));
    S(tp_split(x, 0, INT32_MAX, out));
    S(tp_concat(lost, 0));
    S(tp_stack(lost, 0));
    S(tp_einsum(NULL, TP_LIST(x)));
    S(tp_einsum("ij->i", lost));
    S(tp_permute(x, (tp_axes){ .n=99 }));
    S(tp_permute(x, (tp_axes){ .n=-99 }));
    S(tp_sum(x, (tp_axes){ .n=99 }));
    S(tp_reshape(x, (tp_shape){ .rank=99 }));
    S(tp_expand(x, (tp_shape){ .rank=-99 }));
    S(tp_layer_norm(x, (tp_shape){ .rank=99 }, NULL, NULL, 1));
    S(tp_transpose(x, INT32_MIN, INT32_MAX));
    S(tp_flatten(x, INT32_MIN));
    S(tp_slice(x, 0, INT64_MIN, INT64_MAX));
    S(tp_slice_step(x, 0, 0, 2, INT64_MAX));
    S(tp_slice_step(x, 0, INT64_MIN, INT64_MIN, INT64_MIN));
    S(tp_cast(x, -1));
    S(tp_to(x, NULL));
    S(tp_dropout(NULL, 0.5));
    S(tp_arange(0, 1e300, 1e-300, TP_F32, D));
    S(tp_arange(0, 1, 0, TP_F32, D));
    S(tp_linspace(0, 1, INT64_MIN, TP_F32, D));
    S(tp_linspace(0, 1, INT64_MAX, TP_F32, D));
    S(tp_eye(INT64_MAX, INT64_MAX, TP_F32, D));
    S(tp_eye(-1, -1, TP_F32, NULL));
}

Test(nothing, layers_of_ops, WITH_ALL)
{
    TP_SCOPE;
    S(tp_linear_with(x, x, x, (tp_linear_opts){ 99 }));
    S(tp_lstm(NULL, NULL, NULL, NULL, NULL, NULL, NULL).y);
}

Test(nothing, modules, WITH_ALL)
{
    TP_SCOPE;
    S(tp_nn_linear(INT64_MAX, INT64_MAX));
    S(tp_nn_conv2d(INT64_MAX, INT64_MAX, INT32_MAX, (tp_conv2d_opts){ 0 }));
    S(tp_nn_lstm(INT64_MAX, INT64_MAX, (tp_lstm_opts){ 0 }));
    S(tp_nn_lstm(1, 1LL<<61, (tp_lstm_opts){ .bidirectional=1, .layers=2 }));
    S(tp_nn_embedding(INT64_MAX, INT64_MAX));
    S(tp_nn_batch_norm(INT64_MAX));
    S(tp_nn_layer_norm((tp_shape){ .rank=99 }));
    S(tp_nn_sequential(NULL, 3));
    S(tp_nn_sequential((tp_module *[]){ NULL, NULL }, 2));
    S(tp_nn_container(NULL));
    S(tp_nn_from(NULL, NULL, NULL, NULL));
    S(tp_nn_add(NULL, NULL, NULL));
    S(tp_nn_add(m, NULL, NULL));
    S(tp_nn_param(NULL, NULL, TP_SCALAR, (tp_init){ 0 }));
    S(tp_nn_param(m, NULL, TP_SCALAR, (tp_init){ 0 }));
    S(tp_nn_buffer(m, NULL, TP_SCALAR, 99, 0));
    S(tp_nn_get(NULL, NULL));
    S(tp_nn_get(m, NULL));
    S(tp_nn_dropout2d(-1));
    S(tp_nn_alpha_dropout(2));
    S(tp_optim_has(NULL, NULL));
    S(tp_optim_kind(NULL));
    S(tp_nn_tensor(NULL, NULL));
    S(tp_nn_tensor(m, NULL));
    S(tp_nn_set(NULL, NULL, NULL));
    S(tp_nn_set(m, NULL, x));
    S(tp_nn_replace(NULL, NULL, NULL));
    S(tp_nn_replace(m, NULL, NULL));
    S(tp_nn_count(NULL));
    S(tp_nn_kind(NULL));
    S(tp_nn_free(NULL), 0);
    S(tp_nn_init(NULL, NULL));
    S(tp_nn_init(m, NULL));
    S(tp_nn_cast(NULL, 99));
    S(tp_nn_cast(m, 99));
    S(tp_nn_apply(NULL, lost, NULL, 3));
    S(tp_nn_apply(m, lost, out, -3));
    S(tp_nn_apply(m, lost, NULL, 4));
    S(tp_nn_forward(NULL, NULL));
    S(tp_nn_forward(m, NULL));
    S(tp_nn_predict(NULL, NULL));
    S(tp_nn_predict(m, NULL));
    S(tp_nn_checkpoint(NULL, lost, NULL, 0));
    S(tp_nn_checkpoint(m, lost, NULL, 4));
    S(tp_nn_checkpoint(m, TP_LIST(x), NULL, 4));
    S(tp_nn_add_hook(NULL, NULL, NULL));
    S(tp_nn_params(NULL, NULL));
    S(tp_nn_each((tp_params){ 0 }, 1, NULL, NULL));
    S(tp_nn_train(NULL, NULL, 1));
    S(tp_nn_training(NULL));
    S(tp_nn_freeze(NULL, NULL, 1));
    S(tp_nn_copy(NULL, NULL));
    S(tp_nn_clone(NULL), tp_nn_note(NULL, NULL, NULL), tp_nn_noted(NULL, NULL));
    S(tp_nn_load(NULL, NULL, (tp_load_opts){ 0 }));
    S(tp_nn_load(m, NULL, (tp_load_opts){ 0 }));
    S(tp_nn_save(NULL, NULL));
    S(tp_nn_save(m, NULL));
    S(tp_nn_lstm_forward(NULL, NULL, NULL, NULL).y);
    S(tp_nn_children(NULL));
    S(tp_nn_child(NULL, 0));
    S(tp_nn_child(m, 99));
    S(tp_nn_child_name(NULL, 0));
    S(tp_nn_child_name(m, -99));
    S(tp_nn_init_as((tp_params){ 0 }, (tp_init){ 0 }));
    S(tp_nn_init_as(tp_nn_params(m, NULL), (tp_init){ 0 }));
    S(tp_nn_init_as(tp_nn_params(m, "*"), (tp_init){ .kind = (tp_init_kind)99 }));
    S(tp_summary(NULL, NULL, NULL));
    S(tp_summary(stderr, m, NULL));
    S(tp_summary_text(NULL, lost, NULL, 0));
    S(tp_summary_text(m, lost, NULL, 99));
    S(tp_init_gain(NULL, NAN));
    S(tp_init_kaiming_normal((tp_kaiming_opts){ .a = NAN, .mode = (tp_fan)99, .nonlinearity = "" }).a);
}

Test(nothing, catalogue, WITH_ALL)
{
    TP_SCOPE;
    S(tp_nn_conv1d(INT64_MAX, INT64_MAX, INT32_MAX, (tp_conv2d_opts){ 0 }));
    S(tp_nn_conv_transpose1d(INT64_MAX, INT64_MAX, INT32_MAX, (tp_conv2d_opts){ .groups = INT32_MAX }));
    S(tp_nn_conv_transpose2d(-1, INT64_MIN, INT32_MIN, (tp_conv2d_opts){ .groups = -1 }));
    S(tp_nn_group_norm(0, 0));
    S(tp_nn_group_norm(INT64_MAX, INT64_MAX));
    S(tp_nn_group_norm_with(1, 1, (tp_norm_layer_opts){ 0 }));
    S(tp_nn_layer_norm_with((tp_shape){ .rank = -99 }, tp_norm_layer_defaults()));
    S(tp_nn_rms_norm((tp_shape){ .rank = 99 }));
    S(tp_nn_free(tp_nn_instance_norm(INT64_MAX)), 0);
    S(tp_nn_instance_norm_with(1, (tp_instance_norm_opts){ 0 }));
    S(tp_nn_prelu(INT64_MAX, NAN));
    S(tp_nn_softmax(INT32_MIN));
    S(tp_nn_hardtanh(NAN, NAN));
    S(tp_nn_avg_pool2d(INT32_MIN));
    S(tp_nn_max_pool1d_with(1, (tp_pool2d_opts){ .stride = INT32_MIN }));
    S(tp_nn_adaptive_avg_pool2d(INT64_MIN, INT64_MAX));
    S(tp_nn_upsample((tp_interpolate_opts){ .scale = NAN }));
    S(tp_nn_pixel_shuffle(INT64_MAX));
    S(tp_nn_pad((tp_shape){ .rank = 99 }, (tp_pad_opts){ 0 }));
    S(tp_nn_unflatten(INT32_MAX, (tp_shape){ .rank = -1 }));
    S(tp_nn_residual(NULL, NULL));
    S(tp_nn_list(NULL, 3));
    S(tp_nn_list((tp_module *[]){ NULL }, -1));
    S(tp_nn_append(NULL, NULL));
    S(tp_nn_append(m, NULL));
    S(tp_nn_dict(NULL, NULL, 3));
    S(tp_nn_dict((const char *const[]){ NULL }, (tp_module *[]){ NULL }, 1));
    S(tp_nn_dict((const char *const[]){ NULL }, (tp_module *[]){ tp_nn_relu() }, 1));
    S(tp_nn_lambda(NULL, NULL, NULL));
}

Test(nothing, layers_of_attention_and_adapters, WITH_ALL)
{
    const tp_transformer_opts unfilled = { 0 }, filled = tp_transformer_defaults();
    tp_module *attention = tp_nn_init(tp_nn_multihead_attention(2, 1, (tp_multihead_attention_opts){ 0 }), D);
    tp_module *encoder = tp_nn_transformer_encoder_layer(2, 1, filled);
    tp_module *decoder = tp_nn_transformer_decoder_layer(2, 1, filled);

    TP_SCOPE;
    S(tp_rotary(NULL, (tp_rotary_opts){ 0 }));
    S(tp_rotary(x, (tp_rotary_opts){ .dims = -4, .base = NAN }));
    S(tp_dropout2d(NULL, .5));
    S(tp_alpha_dropout(NULL, NAN));
    S(tp_alpha_dropout(x, NAN));
    S(tp_var_mean(NULL, TP_ALL, 1, NULL));
    S(tp_nn_multihead_attention(0, 0, (tp_multihead_attention_opts){ 0 }));
    S(tp_nn_multihead_attention(INT64_MAX, 1, (tp_multihead_attention_opts){ .kdim = INT64_MIN }));
    S(tp_nn_multihead_attention(2, 1, (tp_multihead_attention_opts){ .dropout = NAN }));
    S(tp_nn_multihead_attention_forward(NULL, NULL, NULL, NULL, (tp_attention_masks){ 0 }));
    S(tp_nn_multihead_attention_forward(m, x, x, x, (tp_attention_masks){ 0 }));
    S(tp_nn_multihead_attention_forward(attention, NULL, NULL, NULL, (tp_attention_masks){ 0 }));
    S(tp_nn_multihead_attention_forward(attention, x, x, x, (tp_attention_masks){ x, x, true }));
    S(tp_nn_apply(attention, (tp_list){ NULL, 0 }, out, 4));
    S(tp_nn_transformer_encoder_layer(2, 1, unfilled));
    S(tp_nn_transformer_decoder_layer(0, 0, filled));
    S(tp_nn_transformer_encoder(NULL, 2, NULL));
    S(tp_nn_transformer_decoder(NULL, -2, NULL));
    S(tp_nn_transformer_encoder_forward(NULL, NULL, (tp_encoder_masks){ 0 }));
    S(tp_nn_transformer_encoder_forward(encoder, NULL, (tp_encoder_masks){ 0 }));
    S(tp_nn_transformer_encoder_forward(encoder, x, (tp_encoder_masks){ 0 }));
    S(tp_nn_transformer_decoder_forward(NULL, NULL, NULL, (tp_decoder_masks){ 0 }));
    S(tp_nn_transformer_decoder_forward(decoder, NULL, NULL, (tp_decoder_masks){ 0 }));
    S(tp_nn_apply(decoder, (tp_list){ NULL, 0 }, out, 4));
    S(tp_nn_weight_norm(NULL, NULL, (tp_weight_norm_opts){ 0 }));
    S(tp_nn_weight_norm(m, NULL, (tp_weight_norm_opts){ 0 }));
    S(tp_nn_weight_norm(m, "", (tp_weight_norm_opts){ .dim = INT32_MIN }));
    S(tp_nn_spectral_norm(NULL, "weight", (tp_spectral_norm_opts){ 0 }));
    S(tp_nn_spectral_norm(m, NULL, (tp_spectral_norm_opts){ 0 }));
    S(tp_nn_spectral_norm(m, "weight", (tp_spectral_norm_opts){ .eps = NAN, .dim = INT32_MAX }));
    S(tp_nn_computed(NULL, NULL));
    S(tp_nn_computed(m, "."));
    S(tp_nn_remove_parametrizations(NULL, NULL));
    S(tp_nn_remove_parametrizations(m, "weight"));
    S(tp_nn_lora(NULL, NULL, (tp_lora_opts){ 0 }));
    S(tp_nn_lora(m, NULL, (tp_lora_opts){ 0 }));
    S(tp_nn_lora(m, "*", (tp_lora_opts){ .rank = INT64_MAX, .alpha = NAN }));
    S(tp_nn_lora_merge(NULL));
    S(tp_nn_lora_unmerge(NULL));
    S(tp_nn_count_trained(NULL));
    S(tp_nn_save_with(NULL, NULL, (tp_save_opts){ 0 }));
    S(tp_nn_save_with(m, NULL, (tp_save_opts){ .only = "*" }));
    tp_nn_free(attention), tp_nn_free(encoder), tp_nn_free(decoder);
}

Test(nothing, optimizers_and_schedules, WITH_ALL)
{
    TP_SCOPE;
    S(tp_optim_sgd((tp_params){ 0 }, tp_sgd(1)));
    S(tp_optim_adam(tp_nn_params(m, NULL), tp_adam(1)));
    S(tp_optim_add_sgd_group(NULL, (tp_params){ 0 }, tp_sgd(1)));
    S(tp_optim_add_adam_group(o, tp_nn_params(m, "*"), tp_adam(1)));
    S(tp_optim_step(NULL));
    S(tp_optim_zero_grad(NULL));
    S(tp_optim_clip_norm(NULL, 1));
    S(tp_optim_clip_norm_with(NULL, 1, (tp_clip_opts){ 0 }));
    S(tp_optim_lbfgs((tp_params){ 0 }, tp_lbfgs(1)));
    S(tp_optim_lbfgs(tp_nn_params(m, NULL), tp_lbfgs(1)));
    S(tp_optim_step_with(NULL, NULL, NULL));
    S(tp_optim_step_with(o, NULL, NULL));
    S(tp_optim_rmsprop((tp_params){ 0 }, tp_rmsprop(1)));
    S(tp_optim_add_rmsprop_group(NULL, (tp_params){ 0 }, tp_rmsprop(1)));
    S(tp_optim_add_rmsprop_group(o, tp_nn_params(m, "*"), tp_rmsprop(1)));
    S(tp_optim_adagrad((tp_params){ 0 }, tp_adagrad(1)));
    S(tp_optim_add_adagrad_group(NULL, (tp_params){ 0 }, tp_adagrad(1)));
    S(tp_optim_add_adagrad_group(o, tp_nn_params(m, "*"), tp_adagrad(1)));
    S(tp_optim_adadelta((tp_params){ 0 }, tp_adadelta(1)));
    S(tp_optim_add_adadelta_group(NULL, (tp_params){ 0 }, tp_adadelta(1)));
    S(tp_optim_add_adadelta_group(o, tp_nn_params(m, "*"), tp_adadelta(1)));
    S(tp_optim_adamax((tp_params){ 0 }, tp_adamax(1)));
    S(tp_optim_add_adamax_group(NULL, (tp_params){ 0 }, tp_adamax(1)));
    S(tp_optim_add_adamax_group(o, tp_nn_params(m, "*"), tp_adamax(1)));
    S(tp_optim_nadam((tp_params){ 0 }, tp_nadam(1)));
    S(tp_optim_add_nadam_group(NULL, (tp_params){ 0 }, tp_nadam(1)));
    S(tp_optim_add_nadam_group(o, tp_nn_params(m, "*"), tp_nadam(1)));
    S(tp_optim_radam((tp_params){ 0 }, tp_radam(1)));
    S(tp_optim_add_radam_group(NULL, (tp_params){ 0 }, tp_radam(1)));
    S(tp_optim_add_radam_group(o, tp_nn_params(m, "*"), tp_radam(1)));
    S(tp_optim_lion((tp_params){ 0 }, tp_lion(1)));
    S(tp_optim_add_lion_group(NULL, (tp_params){ 0 }, tp_lion(1)));
    S(tp_optim_add_lion_group(o, tp_nn_params(m, "*"), tp_lion(1)));
    S(tp_optim_muon((tp_params){ 0 }, tp_muon(1)));
    S(tp_optim_add_muon_group(NULL, (tp_params){ 0 }, tp_muon(1)));
    S(tp_optim_add_muon_group(o, tp_nn_params(m, "*"), tp_muon(1)));
    S(tp_optim_clip_value(NULL, 1));
    S(tp_optim_grad_norm(NULL));
    S(tp_optim_groups(NULL));
    S(tp_optim_lr(NULL, 0));
    S(tp_optim_lr(o, -9));
    S(tp_optim_set_lr(NULL, 0, 0));
    S(tp_optim_set_lr(o, 99, 0));
    S(tp_optim_steps(NULL));
    S(tp_optim_free(NULL), 0);
    S(tp_optim_each(NULL, NULL, NULL));
    S(tp_optim_each(o, NULL, NULL));
    S(tp_optim_load_begin(NULL));
    S(tp_optim_load_end(NULL));
    S(tp_sched_cosine(NULL, 0, 1, 0));
    S(tp_sched_step(NULL, 1, 1));
    S(tp_sched_from(o, NULL, NULL));
    S(tp_sched_multi_step(NULL, NULL, 0, 1));
    S(tp_sched_constant(NULL, 1, 1));
    S(tp_sched_linear(NULL, 1, 1, 1));
    S(tp_sched_exponential(NULL, 1));
    S(tp_sched_polynomial(NULL, 1, 1));
    S(tp_sched_cosine_annealing(NULL, 1, 0));
    S(tp_sched_cosine_restarts(NULL, 1, 1, 0));
    S(tp_sched_one_cycle(NULL, tp_one_cycle(1, 1)));
    S(tp_sched_cyclic(NULL, tp_cyclic(1, 2)));
    S(tp_sched_plateau(NULL, tp_plateau()));
    S(tp_sched_observe(NULL, 1));
    S(tp_sched_sequence(NULL, NULL, 2));
    S(tp_sched_sequence((tp_sched *[]){ NULL }, NULL, 1));
    S(tp_sched_advance(NULL));
    S(tp_sched_at(NULL));
    S(tp_sched_seek(NULL, 0));
    S(tp_sched_free(NULL), 0);
    S(tp_ema_new(NULL, .5));
    S(tp_ema_new_warm(NULL, .5));
    S(tp_swa_new(NULL));
    S(tp_ema_update(NULL));
    S(tp_ema_updates(NULL));
    S(tp_ema_swap(NULL));
    S(tp_ema_copy_to(NULL, NULL));
    S(tp_ema_tensor(NULL, NULL));
    S(tp_ema_each(NULL, NULL, NULL));
    S(tp_ema_free(NULL), 0);
    S(tp_scaler_new(NULL, tp_scaler_options()));
    S(tp_scaler_scale(NULL, NULL));
    S(tp_scaler_unscale(NULL, NULL));
    S(tp_scaler_step(NULL, NULL));
    S(tp_scaler_update(NULL));
    S(tp_scaler_value(NULL));
    S(tp_scaler_each(NULL, NULL, NULL));
    S(tp_scaler_free(NULL), 0);
}

Test(nothing, data, WITH_ALL)
{
    TP_SCOPE;
    S(tp_data_tensors(lost));
    S(tp_data_source((tp_source){ 0 }));
    S(tp_data_source((tp_source){ .fields=99, .count=3 }));
    S(tp_data_set_free(tp_data_source((tp_source){
          .fields = 1, .count = INT64_MAX, .get = never_get, .shape = { TP_SHAPE(1LL << 50) } })),
      0);
    S(tp_data_retain(NULL));
    S(tp_data_range(NULL, 0, 1));
    S(tp_data_words(NULL, 0, NULL));
    S(tp_data_caption(NULL, -1, NULL, 7));
    S(tp_data_caption_words(NULL));
    S(tp_data_captions(NULL, NULL));
    S(tp_data_lanes(NULL, 1, 1));
    S(tp_data_lanes(x, INT64_MAX, INT64_MAX));
    S(tp_data_count(NULL));
    S(tp_data_classes(NULL));
    S(tp_data_set_free(NULL), 0);
    S(tp_data_idx(NULL, NULL));
    S(tp_data_fashion_mnist(NULL, NULL));
    S(tp_data_fashion_mnist_class(-1));
    S(tp_data_loader(NULL, (tp_loader_opts){ 0 }));
    S(tp_data_next(NULL, NULL));
    S(tp_data_next(l, NULL));
    S(tp_data_batches(NULL));
    S(tp_data_new_pass(NULL));
    S(tp_data_of(NULL));
    S(tp_data_opts(NULL));
    S(tp_data_free(NULL), 0);
    S(tp_data_position(NULL));
    S(tp_data_seek(NULL, (tp_position){ 0 }));
    S(tp_data_free(tp_data_loader(tp_data_tensors(TP_LIST(x)), (tp_loader_opts){ .batch=INT64_MAX })), 0);
}

Test(nothing, train, WITH_ALL)
{
    TP_SCOPE;
    S(tp_train_turns(NULL, (tp_turns_opts){ 0 }, NULL));
    S(tp_train_turns(m, (tp_turns_opts){ .turn = &(tp_turn){ 0 }, .n = 1, .train = l, .steps = 1 }, NULL));
    S(tp_state_module(NULL, NULL, NULL));
    S(tp_state_tensor(st, "x", NULL));
    S(tp_state_i64(st, NULL, NULL));
    S(tp_state_save(NULL, NULL));
    S(tp_state_try(st, NULL));
    S(tp_state_load(st, NULL));
    S(tp_state_free(NULL), 0);
    S(tp_log_add(NULL, NULL, NULL), 0);
    S(tp_log_add(lg, NULL, x), 0);
    S(tp_log_add(lg, "x", NULL), 0);
    S(tp_log_value(lg, NULL, 1), 0);
    S(tp_log_step(NULL), 0);
    S(tp_log_items(NULL, 1), 0);
    S(tp_log_close(NULL));
    S(tp_swa_update_bn(NULL, NULL));
    S(tp_swa_update_bn(l, NULL));
    S(tp_swa_update_bn(NULL, m));
    S(tp_profile_end(NULL));
    S(tp_profile_rows(NULL, NULL));
    S(tp_profile_seconds(NULL));
    S(tp_profile_peak(NULL));
    S(tp_profile_print(NULL));
    S(tp_profile_free(NULL), 0);
    S(tp_train_accuracy(NULL, NULL));
    S(tp_train_accuracy(m, NULL));
    S(tp_train_accuracy(NULL, l));
    S(tp_plot_lines(NULL, NULL, -3, (tp_plot_opts){ 0 }));
    S(tp_plot_lines("never/q.png", (tp_series[]){{ "a", NULL, NULL, 3 }}, 1, (tp_plot_opts){ 0 }));
    S(tp_image_grid(NULL, NULL, (tp_grid_opts){ 0 }));
    S(tp_image_grid(NULL, tp_ones(TP_SHAPE(1, 1, 2, 2), TP_F32, D), (tp_grid_opts){ 0 }));
    S(tp_train_parse(NULL, 0, NULL));
    S(tp_train_print(NULL));
    S(tp_train_judge(NULL, NULL, NULL, NULL, NULL, NULL));
    S(tp_train_judge(m, NULL, NULL, x, x, NULL));
}

Test(nothing, models, WITH_ALL)
{
    TP_SCOPE;
    S(tp_model_mlp(NULL, 0));
    S(tp_model_mlp((int64_t[]){ -1, INT64_MIN }, 2));
    S(tp_model_cnn((tp_cnn_opts){ .size = INT64_MIN }));
    S(tp_model_cnn_features(NULL, NULL));
    S(tp_model_cnn_features(m, x));
    S(tp_model_resnet((tp_resnet_opts){ 0 }));
    S(tp_model_resnet((tp_resnet_opts){ .stages = INT32_MIN, .width = 1 }));
    S(tp_model_lstm((tp_lstm_model_opts){ 0 }));
    S(tp_model_gpt((tp_gpt_opts){ 0 }));
    S(tp_model_vae((tp_vae_opts){ .pixels = INT64_MIN }));
    S(tp_model_vae_decode(NULL, NULL, NULL));
    S(tp_model_vae_decode(m, x, x));
    S(tp_model_vae_nats(NULL, NULL, NULL, NAN));
    S(tp_model_vae_nats(m, x, NULL, 1));
    S(tp_model_vae_loss(NULL, NULL, NULL, NULL, NAN));
    S(tp_model_vae_loss(x, x, x, NULL, 1));
    S(tp_model_vqvae((tp_vqvae_opts){ .codes = INT64_MIN, .blocks = INT32_MIN }));
    S(tp_model_vqvae_decode(NULL, NULL));
    S(tp_model_vqvae_decode(m, x));
    S(tp_model_vqvae_loss(NULL, NULL, NULL, NULL));
    S(tp_model_vqvae_loss(x, x, NULL, x));
    S(tp_model_vqvae_perplexity(NULL, NULL));
    S(tp_model_vqvae_perplexity(m, x));
    S(tp_model_discriminator_loss(NULL, NULL));
    S(tp_model_generator_loss(NULL));
    S(tp_model_gradient_penalty(NULL, NULL, NULL, NULL));
    S(tp_model_gradient_penalty(NULL, x, x, x));
    S(tp_model_generate(NULL, 0, INT64_MIN, NULL));
    S(tp_model_generate(m, 3, 0, out));
    S(tp_model_generator((tp_dcgan_opts){ .classes = INT64_MIN }));
    S(tp_model_discriminator((tp_dcgan_opts){ .width = INT64_MAX }));
    S(tp_model_unet((tp_unet_opts){ .levels = INT32_MAX, .blocks = INT32_MAX }));
    S(tp_model_unet((tp_unet_opts){ .base = INT64_MIN }));
    S(tp_model_text_encoder((tp_text_encoder_opts){ 0 }));
    S(tp_model_text_encoder((tp_text_encoder_opts){ .vocabulary = INT64_MAX, .context = INT64_MAX }));
    S(tp_model_diffusion((tp_diffusion_opts){ .steps = INT64_MIN }));
    S(tp_model_diffusion((tp_diffusion_opts){ .unet = { .levels = INT32_MAX }, .text = { .vocabulary = INT64_MIN } }));
    S(tp_model_diffusion_alphas(NULL, NULL));
    S(tp_model_diffusion_alphas(m, D));
    S(tp_model_diffusion_noised(NULL, NULL, NULL, NULL));
    S(tp_model_diffusion_target(NULL, x, NULL, x));
    S(tp_model_diffusion_loss(NULL, NULL, NULL, NAN));
    S(tp_model_diffusion_loss(m, x, x, 2));
    S(tp_model_diffusion_sample(NULL, -1, NULL, (tp_denoise_opts){ 0 }));
    S(tp_model_diffusion_sample(m, INT64_MAX, x, tp_denoise_defaults()));
    S(tp_nn_predict_all(NULL, lost, NULL, 0));
    S(tp_nn_predict_all(m, TP_LIST(x), NULL, 3));
    S(tp_model_save(NULL, NULL), tp_model_set_tokenizer(NULL, NULL), tp_model_tokenizer(NULL), tp_model_set_classes(NULL, NULL, 3), tp_model_class(NULL, 3), tp_model_set_classes_of(NULL, NULL), tp_nn_note_at(NULL, -1));
    S(tp_model_save(m, NULL));
    S(tp_model_load(NULL, NULL, NULL));
    S(tp_model_draw(NULL, NULL, 3, tp_draw_defaults()));
    S(tp_model_draw(x, NULL, -1, (tp_draw_opts){ 0 }));
    S(tp_model_write(NULL, NULL, -1, tp_draw_defaults(), NULL, NULL));
    S(tp_model_write(m, x, 1, tp_draw_defaults(), NULL, NULL));
    S(tp_model_bert((tp_bert_opts){ .types = INT64_MIN }), tp_model_translate((tp_translate_opts){ .padding = -1 }));
    S(tp_model_forecast((tp_forecast_opts){ .segment = INT64_MIN, .width = INT64_MAX }));
    S(tp_model_beam(NULL, NULL, (tp_beam_opts){ 0 }), tp_model_beam(m, x, (tp_beam_opts){ .beams = INT64_MAX }));
}

Test(nothing, texts, WITH_ALL)
{
    TP_SCOPE;
    S(tp_data_table(NULL, (tp_csv_opts){ 0 }), tp_data_table_at(NULL, 0, 0), tp_data_table_free(NULL));
    S(tp_data_tokenizer_text(NULL, NULL, 9), tp_data_tokenizer_parse(NULL, 9), tp_state_text(NULL, NULL, NULL));
    S(tp_data_bpe_learn(NULL, INT64_MAX, INT64_MIN), tp_data_bpe_save(NULL, NULL), tp_data_wordpiece(NULL, true));
    S(tp_data_rows(NULL, NULL, INT64_MIN, (tp_rows_opts){ 0 }, NULL), tp_data_row(NULL, x, 0, tp_rows_defaults(), NULL, 9));
    S(tp_data_trim(NULL, NULL), tp_rows_marked(NULL, INT64_MIN), tp_data_by_length(NULL, -1), tp_data_by_length(x, 1));
    S(tp_data_rows_loader(lost, NULL, 0, 1, (tp_loader_opts){ 0 }), tp_metric_bleu_text(NULL, NULL, NULL, -1));
}

Test(nothing, files, WITH_ALL)
{
    TP_SCOPE;
    S(tp_file_save(NULL, NULL, 0, NULL, 0));
    S(tp_file_exists(NULL));
    S(tp_file_open(NULL));
    S(tp_file_close(NULL), 0);
    S(tp_file_count(NULL));
    S(tp_file_name(NULL, 0));
    S(tp_file_name(f, -1));
    S(tp_file_name(f, 99));
    S(tp_file_find(NULL, NULL));
    S(tp_file_find(f, NULL));
    S(tp_file_shape(NULL, 0));
    S(tp_file_shape(f, -1));
    S(tp_file_dtype(NULL, 0));
    S(tp_file_dtype(f, 99));
    S(tp_file_read(NULL, 0, NULL));
    S(tp_file_read(f, 99, D));
    S(tp_file_read(f, 0, NULL));
    S(tp_file_meta(NULL, NULL));
    S(tp_file_meta(f, NULL));
    S(tp_file_meta_count(NULL));
    S(tp_file_meta_at(NULL, 0));
    S(tp_file_meta_at(f, 99));
}
