# Flops a second against flops a byte, both logarithmic, under what memory and the arithmetic units allow.
set terminal svg size 760, 440 font "sans,11" background "white"
set output picture
set logscale xy
set grid
set xlabel "flops for each byte of operands and results"
set ylabel "1e9 flops a second"
set xrange [0.03:20000]
set yrange [0.5:(matrix > 0 ? 3 * matrix : 6 * peak)]
set key bottom right
set datafile separator "\t"
min(a, b) = a < b ? a : b
roof(bytes, x) = min(bytes * x, peak)
# Where there is a matrix unit: what it adds to the roof of registers, of bf16 and of floats, which are three of them.
above(x, flops) = matrix > 0 && l1 * x >= peak ? min(l1 * x, flops) : NaN
of_unit(text) = matrix > 0 ? text : ""
# Where a label has room: 0 below and right of its point, 1 above, 2 below and left, 3 above.
beside(x, y) = x > 300 || y < 0.7 * peak ? (y >= peak || (x > 1 && x < 3)) : 2 + (y >= peak)
plot roof(l1, x) with lines linewidth 2 title "scaling in place in L1, multiply-adds of float in registers", \
     roof(memory, x) with lines linewidth 2 title "scaling in place in memory", \
     roof(reading, x) with lines linewidth 2 title "reading memory", \
     above(x, matrix) with lines linewidth 2 title of_unit("multiply-adds of bf16 by the matrix unit"), \
     above(x, matrix / 6) with lines linewidth 2 linetype 4 dashtype 2 title of_unit("a sixth: of floats by it"), \
     data using 2:3 with points pointtype 7 pointsize 0.7 linecolor "black" notitle, \
     data using (beside($2, $3) == 0 ? $2 : NaN):3:1 with labels left offset 0.8, -0.6 notitle, \
     data using (beside($2, $3) == 1 ? $2 : NaN):3:1 with labels left offset 0.8, 0.6 notitle, \
     data using (beside($2, $3) == 2 ? $2 : NaN):3:1 with labels right offset -0.8, -0.6 notitle, \
     data using (beside($2, $3) == 3 ? $2 : NaN):3:1 with labels right offset -0.8, 0.6 notitle
