/*
 * settings.h - what the environment asks of the simulator.  A value that means nothing ends the
 * process: a run with other settings than were wanted would prove something else.
 */
#ifndef TP_TESTS_CUDASIM_SETTINGS_H
#define TP_TESTS_CUDASIM_SETTINGS_H

#ifdef __cplusplus
extern "C" {
#endif

/* Of the variable NAME, a whole number from least to most; `otherwise` where it isn't set. */
int cudasim_setting(const char *name, int least, int most, int otherwise);
/* Ends the process: NAME=text isn't what is wanted. */
__attribute__((noreturn)) void cudasim_refuse(const char *name, const char *text, const char *wanted);

#ifdef __cplusplus
}
#endif

#endif
