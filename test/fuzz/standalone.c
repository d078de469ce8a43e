/* SPDX-License-Identifier: Apache-2.0
 *
 * standalone.c -- gives a fuzz target every file of some folders, without libFuzzer
 *
 *   replay_load test/fuzz/corpus/load        a finding ends the program, as it does the fuzzer
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <stdint.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In memory of exactly its size, so that a sanitizer sees the first byte beyond. */
static int replay(const char *path)
{
	FILE *file = fopen(path, "rb");
	struct stat st;
	uint8_t *data;
	size_t size;

	if (file == NULL || fstat(fileno(file), &st) != 0 || !S_ISREG(st.st_mode)) {
		if (file != NULL)
			fclose(file);
		return 0;
	}
	size = (size_t)st.st_size;
	data = malloc(size != 0 ? size : 1);
	if (data == NULL || fread(data, 1, size, file) != size) {
		perror(path);
		exit(1);
	}
	fclose(file);
	printf("%s\n", path);
	fflush(stdout); /* should it die, this is the culprit */
	LLVMFuzzerTestOneInput(data, size);
	free(data);
	return 1;
}

int main(int argc, char **argv)
{
	int passed = 0;

	for (int i = 1; i < argc; i++) {
		struct dirent *entry;
		DIR *folder = opendir(argv[i]);

		while (folder != NULL && (entry = readdir(folder)) != NULL) {
			char path[4096];

			if (snprintf(path, sizeof path, "%s/%s", argv[i], entry->d_name) < (int)sizeof path)
				passed += replay(path);
		}
		if (folder != NULL)
			closedir(folder);
	}
	printf("%d passed, %d failed\n", passed, passed == 0);
	return passed == 0;
}
