/* SPDX-License-Identifier: Apache-2.0
 *
 * views -- views of codes that meet behind moved Q and DQ
 *
 *   q -- Flatten -- DQ -- Q -- Reshape(s) -- y   =>   q -- Flatten -- Reshape(s) -- y   =>   q -- Reshape(s) -- y
 *
 *   When    as in identities, once cancel has taken what stood between
 *   Keeps   names of graph outputs
 *   Exact   EXACT: elements, their order and the shape are the same
 *   Needs   types, shapes                   Breaks  nothing
 *   After   cancel                          Before  attention, fuse
 *   Tests   test/golden/views/              Ref     passes/identities.c
 */
#include "moves.h"

static bool of_view(qdq_run *r, const qdq_match *match, qdq_reason *why)
{
	return qdq_view_of_view(r, qdq_match_root(match)) &&
	       !qdq_holds_rounding(r, qdq_in(qdq_match_root(match), 0)->def, why);
}

static bool skip(qdq_run *r, qdq_match *match)
{
	(void)r;
	qdq_skip_view(qdq_match_root(match));
	return true;
}

static bool without_effect(qdq_run *r, const qdq_match *match, qdq_reason *why)
{
	return qdq_moves_nothing(r, qdq_match_root(match)) && !qdq_holds_rounding(r, qdq_match_root(match), why);
}

static const qdq_rule rules[] = {
    {"views.merge", "(Reshape (@MOVE x _*) _)", NULL, of_view, skip, QDQ_EXACT,
     "a Reshape reads what stands in front of another view"},
    {"views.drop", "(@MOVE x _*)", "x", without_effect, NULL, QDQ_EXACT, "what leaves each element in its place goes"},
};

const qdq_pass qdq_pass_views = {
    "views", "merge views that moved Q and DQ stood between", rules, QDQ_COUNTOF(rules), NULL, false};
