/* Predicts with one truly sparse network. Needs nothing but a C99 compiler:
 *
 *     cc -O2 predictor.c -o predictor -lm
 *     ./predictor < samples.csv      a sample per line, a prediction per line
 *     ./predictor --time             microseconds per sample
 *
 * Written by sparsebench. With -DPREDICTOR_NO_MAIN it is a function to be called:
 * predictor_outputs(x, z) from FEATURES values to OUTPUTS pre-activations of the last layer.
 */
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum curve { LINEAR, TANH, SIGMOID, SRELU };
enum task { CLASS, NUMBER, FLAG };

struct layer {
    int32_t outputs;
    const int64_t *indptr;
    const int32_t *indices;
    const float *weights, *bias;
    enum curve curve;
    float slope;
    const float *t_left, *a_left, *t_right, *a_right;
};

/* NETWORK */

static float activated(const struct layer *layer, int32_t k, float z)
{
    switch (layer->curve) {
    case LINEAR:
        return z >= 0 ? z : layer->slope * z;
    case TANH:
        return tanhf(z);
    case SIGMOID:
        return 0.5f * (1 + tanhf(z / 2));
    default:
        if (z >= layer->t_right[k])
            return layer->t_right[k] + layer->a_right[k] * (z - layer->t_right[k]);
        if (z <= layer->t_left[k])
            return layer->t_left[k] + layer->a_left[k] * (z - layer->t_left[k]);
        return z;
    }
}

void predictor_outputs(const double *x, float *z)
{
    static float even[WIDEST], odd[WIDEST];
    float *a = even, *b = odd;
    for (int32_t i = 0; i < FEATURES; i++)
        a[i] = (float)((x[i] - mean[i]) * scale[i]);
    for (int32_t l = 0; l < LAYERS; l++) {
        const struct layer *layer = &layers[l];
        for (int32_t k = 0; k < layer->outputs; k++) {
            float sum = layer->bias[k];
            for (int64_t j = layer->indptr[k]; j < layer->indptr[k + 1]; j++)
                sum += layer->weights[j] * a[layer->indices[j]];
            b[k] = activated(layer, k, sum);
        }
        float *last = a;
        a = b;
        b = last;
    }
    memcpy(z, a, OUTPUTS * sizeof *z);
}

#ifndef PREDICTOR_NO_MAIN
static void print_prediction(const float *z)
{
    int32_t best = 0;
    for (int32_t k = 0; k < OUTPUTS; k++) {
        if (TASK == CLASS)
            best = z[k] > z[best] ? k : best;
        else if (TASK == FLAG)
            printf("%s%d", k ? "," : "", z[k] > 0);
        else
            printf("%s%.9g", k ? "," : "", z[k] * target_scale[k] + target_mean[k]);
    }
    puts(TASK == CLASS ? names[best] : "");
}

static int time_samples(void)
{
    static float z[OUTPUTS];
    volatile float kept = 0;
    int rounds = 0;
    clock_t began = clock();
    while (clock() - began < CLOCKS_PER_SEC) {
        for (int i = 0; i < 10; i++, rounds++) {
            predictor_outputs(mean, z);
            kept += z[0];
        }
    }
    printf("%.2f us per sample\n", 1e6 * (double)(clock() - began) / CLOCKS_PER_SEC / rounds);
    return 0;
}

/* The values of a line of standard input: their number, or -1 at its end, -2 for a wrong word. */
static int64_t read_sample(double *x)
{
    char word[64];
    int length = 0, c;
    int64_t count = 0;
    do {
        c = getchar();
        if (c == EOF || c == '\n' || c == ',' || c == ';' || c == ' ' || c == '\t' || c == '\r') {
            if (length) {
                char *end;
                word[length] = 0;
                double value = strtod(word, &end);
                if (*end)
                    return -2;
                if (count < FEATURES)
                    x[count] = value;
                count++;
                length = 0;
            }
        } else if (length + 1 < (int)sizeof word)
            word[length++] = (char)c;
        else
            return -2;
    } while (c != EOF && c != '\n');
    return count || c != EOF ? count : -1;
}

int main(int argc, char **argv)
{
    static double x[FEATURES];
    static float z[OUTPUTS];
    if (argc == 2 && !strcmp(argv[1], "--time"))
        return time_samples();
    int64_t count;
    for (long line = 1; (count = read_sample(x)) != -1; line++) {
        if (count == 0)
            continue;
        if (count != FEATURES) {
            if (count == -2)
                fprintf(stderr, "line %ld: not a number\n", line);
            else
                fprintf(stderr, "line %ld: %ld values; expected %ld, a value per feature\n", line,
                        (long)count, (long)FEATURES);
            return 1;
        }
        predictor_outputs(x, z);
        print_prediction(z);
    }
    return 0;
}
#endif
