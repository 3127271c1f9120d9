# Numbers of R's survival package that the tests of leadsignal.survival compare with.
# Run in this folder: Rscript r_survival.R > r_survival.json   (R 4.2.2, survival 3.5-3)
suppressPackageStartupMessages(library(survival))

json <- function(x) {
  if (is.null(x)) return("null")
  if (is.list(x)) {
    keys <- if (is.null(names(x))) NULL else paste0('"', names(x), '": ')
    parts <- paste0(keys, vapply(x, json, ""))
    return(if (is.null(keys)) paste0("[", paste(parts, collapse = ", "), "]")
           else paste0("{", paste(parts, collapse = ", "), "}"))
  }
  if (is.matrix(x)) return(json(lapply(seq_len(nrow(x)), function(i) x[i, ])))
  values <- if (is.character(x)) paste0('"', x, '"') else
    ifelse(is.finite(x), formatC(x, digits = 14, format = "g"), "null")
  paste0("[", paste(values, collapse = ", "), "]")
}
tight <- coxph.control(eps = 1e-13, iter.max = 60, toler.chol = 1e-14)

describe <- function(fit, rows = TRUE) c(list(
  coef = unname(coef(fit)), var = unname(fit$var), naive_var = unname(fit$naive.var),
  loglik = fit$loglik, score = fit$score, wald = unname(fit$wald.test),
  concordance = unname(concordance(fit)$concordance),
  concordance_var = unname(concordance(fit)$var),
  counts = unname(as.matrix(concordance(fit)$count))),
  if (rows) list(martingale = unname(residuals(fit, "martingale")),
                 score_residuals = unname(as.matrix(residuals(fit, "score"))),
                 schoenfeld = unname(as.matrix(residuals(fit, "schoenfeld")))))
zph <- function(fit) {
  out <- lapply(c("km", "rank", "identity", "log"), function(transform)
    unname(cox.zph(fit, transform = transform)$table[, "chisq"]))
  setNames(out, c("km", "rank", "identity", "log"))
}
curve <- function(fit, tau) {
  s <- summary(fit, rmean = tau)$table
  list(time = fit$time, n_risk = fit$n.risk, n_event = fit$n.event, surv = fit$surv,
       std_err = fit$std.err, lower = fit$lower, upper = fit$upper,
       cumhaz = fit$cumhaz, std_chaz = fit$std.chaz,
       rmean = unname(s["rmean"]), se_rmean = unname(s["se(rmean)"]),
       quantile = lapply(quantile(fit, c(.25, .5, .75)), unname))
}

heart <- read.csv("heart.csv"); lung <- read.csv("lung.csv")
pbc <- read.csv("pbcseq_counting_process.csv")
lung <- lung[complete.cases(lung[, c("age", "sex", "ph.ecog")]), ]
lung$inst[is.na(lung$inst)] <- 0
lung$w <- 1 + (seq_len(nrow(lung)) %% 4) / 2
lung$off <- (seq_len(nrow(lung)) %% 5) / 10
out <- list()
for (ties in c("efron", "breslow")) {
  h <- coxph(Surv(start, stop, event) ~ age + year + surgery + transplant, heart,
             cluster = id, ties = ties, control = tight)
  p <- coxph(Surv(tstart, tstop, death == 2) ~ log(bili) + log(protime), pbc,
             cluster = id, ties = ties, control = tight)
  l <- coxph(Surv(time, status) ~ age + ph.ecog + strata(sex) + offset(off), lung,
             weights = w, robust = FALSE, ties = ties, control = tight)
  w <- coxph(Surv(time, status) ~ age + sex + ph.ecog, lung,
             weights = w, cluster = inst, ties = ties, control = tight)
  r <- coxph(Surv(time, status) ~ ridge(age, ph.ecog, theta = 5, scale = FALSE), lung,
             ties = ties, control = tight)
  path <- data.frame(start = c(0, 30, 90), stop = c(30, 90, 400), event = 0,
                     age = c(2, 2, 3), year = 2, surgery = 0, transplant = c(0, 1, 1), id = 1)
  naive <- coxph(Surv(start, stop, event) ~ age + year + surgery + transplant, heart,
                 ties = ties, control = tight)
  s <- summary(survfit(naive, newdata = path, id = id), times = c(30, 90, 400), extend = TRUE)
  sl <- basehaz(l, centered = FALSE)
  out[[ties]] <- list(
    heart = describe(h), heart_zph = zph(naive), pbcseq = describe(p, FALSE),
    lung_strata = c(describe(l), list(base_hazard = sl$hazard, base_time = sl$time,
                                      base_strata = as.character(sl$strata))),
    lung_strata_zph = zph(l), lung_weighted = describe(w, FALSE),
    ridge = list(coef = unname(coef(r)), var = unname(r$var)),
    path = list(cumhaz = s$cumhaz, std_chaz = s$std.chaz, surv = s$surv))
}
entry <- survfit(Surv(tstart, tstop, death == 2) ~ 1, pbc)
first <- pbc[!duplicated(pbc$id), ]
first$end <- tapply(pbc$tstop, pbc$id, max)[as.character(first$id)]
first$late <- pmin((first$id %% 5) * 50, first$end - 1)
out$curves <- list(
  lung = curve(survfit(Surv(time, status) ~ 1, lung), 500),
  lung_loglog = curve(survfit(Surv(time, status) ~ 1, lung, conf.type = "log-log"), 500),
  lung_plain = curve(survfit(Surv(time, status) ~ 1, lung, conf.type = "plain"), 500),
  late_entry = curve(survfit(Surv(late, end, status == 2) ~ 1, first), 3000),
  weighted = curve(survfit(Surv(time, status) ~ 1, lung, weights = w, robust = FALSE), 500),
  clustered = curve(survfit(Surv(time, status) ~ 1, lung, weights = w, cluster = inst), 500))
aj <- survfit(Surv(tstart, tstop, factor(death)) ~ 1, pbc, id = id)
out$aalen_johansen <- list(time = aj$time, pstate = unname(aj$pstate),
                           std_err = unname(aj$std.err))
lr <- function(...) { s <- survdiff(...); list(chisq = s$chisq, obs = unname(rowSums(as.matrix(s$obs))),
                                               exp = unname(rowSums(as.matrix(s$exp)))) }
out$logrank <- list(
  plain = lr(Surv(time, status) ~ sex, lung), rho = lr(Surv(time, status) ~ sex, lung, rho = 1),
  stratified = lr(Surv(time, status) ~ sex + strata(ph.ecog), lung),
  three = lr(Surv(time, status) ~ ph.ecog, lung[lung$ph.ecog < 3, ]))
mod <- concordance(Surv(time, status) ~ age, lung, cluster = inst, reverse = TRUE)
modw <- concordance(Surv(time, status) ~ age + strata(sex), lung, weights = w, reverse = TRUE)
n2 <- concordance(Surv(time, status) ~ age, lung, reverse = TRUE, timewt = "n/G2")
cut <- concordance(Surv(time, status) ~ age, lung, reverse = TRUE, ymax = 365)
out$concordance <- lapply(list(clustered = mod, weighted = modw, uno = n2, horizon = cut),
  function(m) list(c = unname(m$concordance), var = unname(m$var), count = unname(m$count)))
cat(json(out), "\n")
