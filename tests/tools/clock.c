/* A wrong clock for one program, put in front of the C library: LD_PRELOAD, and CLOCK_OFFSET in seconds. Only the time of day
   is wrong; monotonic clocks, and the times that the kernel gives to files, are right. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = (int)syscall(SYS_clock_gettime, clock, time);
    const char *offset = getenv("CLOCK_OFFSET");
    if (result == 0 && offset && clock == CLOCK_REALTIME) time->tv_sec += atol(offset);
    return result;
}
