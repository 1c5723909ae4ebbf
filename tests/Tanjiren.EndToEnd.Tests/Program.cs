using Tanjiren.EndToEnd.Tests.Faults.Kit;
using Xunit.Runner.InProc.SystemConsole;

if (args is [VictimProgram.Word, .. var role])
    return VictimProgram.Run(role);
return await ConsoleRunner.Run(args);
