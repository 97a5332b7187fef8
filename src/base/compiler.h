/* Compiler attributes, each in one place. */
#ifndef IX_BASE_COMPILER_H
#define IX_BASE_COMPILER_H

#define ix_printf(fmt, args) __attribute__((format(printf, fmt, args)))
#define ix_must_use          __attribute__((warn_unused_result))
#define ix_noreturn          __attribute__((noreturn))
#define ix_cold              __attribute__((cold))
#define ix_unused            __attribute__((unused))

#define IX_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
