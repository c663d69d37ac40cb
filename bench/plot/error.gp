# Exactness against position, both logarithmic.
set terminal svg size 700, 420 font "sans,11" background "white"
set output picture
set logscale xy
set format x "10^{%T}"
set format y "10^{%T}"
set grid
set xlabel "position"
set ylabel "largest error of 64 angles, radians"
set key top left
plot data using 1:4 with linespoints linewidth 2 title "float32, as references compute it", \
     data using 1:3 with points pointtype 6 title "posenc, with float32 angles", \
     data using 1:2 with linespoints linewidth 2 title "posenc"
