/*
 * test_model_options.c - what the constructors of the reference models refuse.
 */
#include "tests/check.h"

#define REFUSED_OPTIONS(call, text)                                                                \
    do {                                                                                           \
        CASE("%.150s", #call);                                                                     \
        CHECK_REFUSED(call, TP_ERR_ARG, text);                                                     \
    } while (0)
#define CNN(...)    tp_model_cnn((tp_cnn_opts){ __VA_ARGS__ })
#define RESNET(...) tp_model_resnet((tp_resnet_opts){ __VA_ARGS__ })
#define LSTM(...)   tp_model_lstm((tp_lstm_model_opts){ __VA_ARGS__ })
#define GPT(...)                                                                                   \
    tp_model_gpt(                                                                                  \
        (tp_gpt_opts){ .vocabulary = 5, .context = 4, .layers = 1, .heads = 3, __VA_ARGS__ })
#define BERT(...)                                                                                  \
    tp_model_bert((tp_bert_opts){                                                                  \
        .vocabulary = 5, .context = 4, .classes = 2, .layers = 1, .heads = 3, __VA_ARGS__ })
#define TRANSLATE(...)                                                                             \
    tp_model_translate(                                                                            \
        (tp_translate_opts){ .vocabulary = 5, .context = 4, .layers = 1, .heads = 3, __VA_ARGS__ })
#define FORECAST(...)                                                                              \
    tp_model_forecast((tp_forecast_opts){ .columns = 1, .steps_in = 24, .ahead = 12, __VA_ARGS__ })
#define GAN(...)   tp_model_generator((tp_dcgan_opts){ __VA_ARGS__ })
#define JUDGE(...) tp_model_discriminator((tp_dcgan_opts){ __VA_ARGS__ })
#define UNET(...)  tp_model_unet((tp_unet_opts){ __VA_ARGS__ })

Test(model_options, that_cannot_be)
{
    long before = (tp_thread_end(), tp__live());

    REFUSED_OPTIONS(tp_model_mlp(NULL, 3), "tp_model_mlp: 0 sizes");
    REFUSED_OPTIONS(tp_model_mlp((int64_t[]){ 3 }, 1), "tp_model_mlp: 1 sizes");
    REFUSED_OPTIONS(tp_model_mlp((int64_t[]){ 3, 0 }, 2), "tp_model_mlp: size 0, and 1 to");
    REFUSED_OPTIONS(tp_model_mlp((int64_t[]){ 3, INT64_MAX, 2 }, 3),
                    "tp_model_mlp: size 9223372036854775807");
    REFUSED_OPTIONS(CNN(.size = 3), "tp_model_cnn: size 3, and 4 to");
    REFUSED_OPTIONS(CNN(.width = -1), "tp_model_cnn: width -1");
    REFUSED_OPTIONS(CNN(.channels = INT64_MAX), "tp_model_cnn: channels 9");
    REFUSED_OPTIONS(CNN(.dropout = 2), "tp_model_cnn: dropout 2");
    REFUSED_OPTIONS(CNN(.dropout = NAN), "tp_model_cnn: dropout nan");
    REFUSED_OPTIONS(RESNET(0), "tp_model_resnet: stages 0, and 1 to 4");
    REFUSED_OPTIONS(RESNET(.stages = 9, .width = 8), "tp_model_resnet: stages 9");
    REFUSED_OPTIONS(RESNET(.stages = 2, .width = 8, .blocks = { 1 }), "tp_model_resnet: blocks 0");
    REFUSED_OPTIONS(RESNET(.stages = 1, .width = INT64_MAX, .blocks = { 1 }),
                    "tp_model_resnet: width 9");
    REFUSED_OPTIONS(RESNET(.stages = 1, .width = 8, .blocks = { INT32_MAX }),
                    "tp_model_resnet: blocks 2147483647");
    REFUSED_OPTIONS(LSTM(0), "tp_model_lstm: vocabulary 0");
    REFUSED_OPTIONS(LSTM(.vocabulary = 5, .layers = 33), "tp_model_lstm: layers 33, and 1 to 32");
    REFUSED_OPTIONS(LSTM(.vocabulary = INT64_MAX), "tp_model_lstm: vocabulary 9");
    REFUSED_OPTIONS(LSTM(.vocabulary = 5, .dropout = -1), "tp_model_lstm: dropout -1");
    REFUSED_OPTIONS(GPT(.width = 0), "tp_model_gpt: width 0");
    REFUSED_OPTIONS(GPT(.width = 8), "tp_model_gpt: width 8 can't be split into 3 heads");
    REFUSED_OPTIONS(GPT(.width = 9, .rotary = true), "heads of an even width, not 3");
    REFUSED_OPTIONS(
        tp_model_gpt((tp_gpt_opts){ .vocabulary = 5, .context = 4, .layers = INT32_MAX }),
        "layers 2147483647");
    REFUSED_OPTIONS(tp_model_gpt((tp_gpt_opts){ 0 }), "tp_model_gpt: vocabulary 0");
    REFUSED_OPTIONS(GPT(.width = 9, .dropout = 1.5), "tp_model_gpt: dropout 1.5");
    REFUSED_OPTIONS(BERT(.width = 9, .dropout = -1), "tp_model_bert: dropout -1");
    REFUSED_OPTIONS(BERT(.width = 8), "tp_model_bert: width 8 can't be split into 3 heads");
    REFUSED_OPTIONS(BERT(.width = 9, .hidden = -1), "tp_model_bert: hidden -1");
    REFUSED_OPTIONS(BERT(.width = 9, .types = -1), "tp_model_bert: types -1");
    REFUSED_OPTIONS(TRANSLATE(.width = 9, .padding = 5), "tp_model_translate: padding 5, and 0 to 4");
    REFUSED_OPTIONS(TRANSLATE(.width = 8), "tp_model_translate: width 8 can't be split into 3 heads");
    REFUSED_OPTIONS(TRANSLATE(.width = 9, .dropout = 2), "tp_model_translate: dropout 2");
    REFUSED_OPTIONS(tp_model_forecast((tp_forecast_opts){ .columns = 1, .steps_in = 24 }),
                    "tp_model_forecast: ahead 0");
    REFUSED_OPTIONS(FORECAST(.segment = 9), "segment 9 doesn't divide both steps_in 24 and ahead 12");
    REFUSED_OPTIONS(FORECAST(.width = 7), "tp_model_forecast: width 7 is odd");
    CHECK(tp_bert_base().width == 768);
    REFUSED_OPTIONS(tp_model_vae((tp_vae_opts){ .latent = -2 }), "tp_model_vae: latent -2");
    REFUSED_OPTIONS(tp_model_vae((tp_vae_opts){ .hidden = INT64_MAX }), "tp_model_vae: hidden 9");
    REFUSED_OPTIONS(GAN(.width = INT64_MAX), "tp_model_generator: width 9");
    REFUSED_OPTIONS(GAN(.classes = -1), "tp_model_generator: classes -1");
    REFUSED_OPTIONS(JUDGE(.channels = -1), "tp_model_discriminator: channels -1");
    REFUSED_OPTIONS(UNET(.base = 12), "tp_model_unet: base 12 isn't a multiple of its 8 groups");
    REFUSED_OPTIONS(UNET(.levels = 1000000), "tp_model_unet: levels 1000000, and 1 to 6");
    REFUSED_OPTIONS(UNET(.levels = 2), "tp_model_unet: mults 0");
    REFUSED_OPTIONS(UNET(.levels = 1, .mults = { 1 }, .blocks = INT32_MAX),
                    "tp_model_unet: blocks 2147483647, and 1 to 62");
    REFUSED_OPTIONS(UNET(.base = INT64_MAX), "tp_model_unet: base 9");
    REFUSED_OPTIONS(UNET(.classes = 2, .context = 3), "labels or a text, not both");
    REFUSED_OPTIONS(UNET(.dropout = -0.1), "tp_model_unet: dropout -0.1");
    CHECK(tp__live() == before);
}

/* Described and not drawn, or refused for their size, but never a crash. */
Test(model_options, huge_ones)
{
    tp_module *m[] = { CNN(.width = 1 << 24, .size = 1 << 15, .hidden = 1 << 30),
                       RESNET(.stages = 1, .width = 1 << 24, .blocks = { 1 }),
                       LSTM(.vocabulary = 1 << 30, .width = 1 << 24),
                       NULL,
                       GAN(.width = 1 << 24),
                       UNET(.base = 1 << 24) };

    for (int i = 0; i < TP_LEN(m); i++)
        tp_nn_free(m[i]);
    tp_clear_error();
}
