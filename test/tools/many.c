/* SPDX-License-Identifier: Apache-2.0
 *
 * many.c -- the command-line tool many times over, for tests that would spend their time on starting it
 *
 * Reads commands from the standard input, one a line: a file for what it prints, one for its complaints, and the
 * arguments, separated by tabs. Each runs in a child of its own, which is killed after two minutes; the answer is a
 * line: "exit N" or "signal N".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 64, SECONDS = 120 };

int qdqopt_main(int argc, char **argv); /* main() of lib/cli, under another name */

static void child(char *line)
{
	char *words[MOST + 1];
	int count = 0;

	for (char *word = line; word != NULL && count < MOST; count++) {
		words[count] = word;
		word = strchr(word, '\t');
		if (word != NULL)
			*word++ = '\0';
	}
	words[count] = NULL;
	if (count < 2 || freopen("/dev/null", "r", stdin) == NULL || freopen(words[0], "w", stdout) == NULL ||
	    freopen(words[1], "w", stderr) == NULL)
		_exit(127);
	alarm(SECONDS);
	words[1] = (char[]){"qdqopt"};
	exit(qdqopt_main(count - 1, words + 1));
}

int main(void)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t size;

	while ((size = getline(&line, &room, stdin)) > 0) {
		int status;
		pid_t pid;

		line[size - 1] = '\0';
		fflush(stdout);
		pid = fork();
		if (pid == 0)
			child(line);
		if (pid < 0 || waitpid(pid, &status, 0) != pid)
			return 1;
		if (WIFSIGNALED(status))
			printf("signal %d\n", WTERMSIG(status));
		else
			printf("exit %d\n", WEXITSTATUS(status));
		fflush(stdout);
	}
	free(line);
	return 0;
}
