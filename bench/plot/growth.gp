# Time against length, both logarithmic.
set terminal svg size 700, 420 font "sans,11" background "white"
set output picture
set logscale xy
set grid
set xlabel "tokens (decoding: cached keys)"
set ylabel "microseconds"
set key top left
plot data using 1:2 with linespoints linewidth 2 title "attention, one head of 64", \
     data using 1:3 with linespoints linewidth 2 title "causal", \
     data using 1:4 with linespoints linewidth 2 title "window of 256", \
     data using 1:5 with linespoints linewidth 2 title "one token, 32 heads on 8 of 128", \
     data using 1:6 with linespoints linewidth 2 title "rotation, 8 heads of 128"
