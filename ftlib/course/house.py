"""Names for the slots of commands.py: rooms, devices, things to buy, in two languages.
Invented for the course; a quarter of them, by a hash, is kept for the test.

    >>> sorted(VALUES)
    ['en', 'zh']
    >>> "kitchen" in VALUES["en"]["area"]
    True

What it is not: the devices of anybody's house. Needs: nothing.
"""


def _names(text):
    return [name.strip() for name in text.split(",")]


EN_DEVICES = {
    "light": "desk lamp, ceiling light, reading lamp, fairy lights, night light, "
    "floor lamp, chandelier, spotlight, porch lantern, mirror light",
    "switch": "coffee maker, kettle, heater, printer, dishwasher, aquarium pump, "
    "christmas tree, electric blanket, water boiler, router",
    "fan": "tower fan, extractor, desk fan, attic ventilator",
    "media_player": "tv, radio, speaker, record player, projector, soundbar",
    "cover": "garage door, left blind, awning, roller shutter, pergola, sunshade",
    "lock": "front door, back door, shed door, cellar gate, safe",
    "valve": "garden valve, water valve, sprinkler, drip line",
    "climate": "thermostat, air conditioner, floor heating, heat pump",
    "todo": "groceries, chores, weekend plans, packing, gifts",
    "vacuum": "rosie, robot vacuum, dusty, sweeper",
    "lawn_mower": "mower, lawn robot, grass cutter",
    "scene": "movie night, good morning, dinner time, party mode",
    "script": "bedtime story, holiday mode, leaving home, pet feeder",
    "button": "doorbell, reset button, panic button",
    "weather": "home weather, office weather, boston, london",
    "person": "anna, peter, maria, tom",
    "sensor": "outdoor sensor, window sensor, smoke detector, soil sensor",
}
ZH_DEVICES = {
    "light": "书桌灯, 水晶灯, 小夜灯, 落地灯, 镜前灯, 彩灯, 走廊灯, 壁灯",
    "switch": "咖啡机, 热水壶, 取暖器, 打印机, 洗碗机, 鱼缸水泵, 电热毯, 路由器",
    "fan": "塔扇, 排气扇, 循环扇, 换气扇",
    "media_player": "电视, 收音机, 音箱, 投影仪, 唱片机, 回音壁",
    "cover": "左窗帘, 遮阳篷, 卷帘门, 天窗, 阳台帘",
    "lock": "前门, 后门, 仓库门, 保险柜, 院门",
    "valve": "花园阀门, 总水阀, 喷灌阀, 燃气阀",
    "climate": "空调, 地暖, 热泵, 恒温器",
    "todo": "买菜清单, 家务清单, 周末计划, 礼物清单, 行李清单",
    "vacuum": "小白, 扫地机器人, 吸尘器, 扫地机",
    "lawn_mower": "割草机, 除草机器人, 剪草机",
    "scene": "电影之夜, 早安模式, 晚餐模式, 聚会模式",
    "script": "睡前故事, 度假模式, 离家模式, 喂猫",
    "button": "门铃, 重置按钮, 报警按钮",
    "weather": "家里天气, 北京, 上海, 公司天气",
    "person": "小王, 小李, 妈妈, 爷爷",
    "sensor": "室外传感器, 窗户传感器, 烟雾报警器, 土壤传感器",
}
EN = {
    "area": "kitchen, bedroom, living room, bathroom, garage, hallway, office, garden, "
    "attic, cellar, dining room, guest room, nursery, laundry room, balcony, library",
    "floor": "ground, first, second, third, top, lower",
    "timer_name": "pizza, laundry, tea, homework, egg, pasta, workout, nap, bread",
    "timer_command": "turn off the tv, open the garage door, lock the front door, "
    "start the robot, close the awning, play some jazz, switch on the heater, "
    "stop the music",
    "message": "dinner is ready, time to go, the taxi is here, good night everyone, "
    "breakfast is served, please come down, we are leaving soon, the film begins",
    "search_query": "yellow submarine, the beatles, morning jazz, miles davis, "
    "summer hits, quiet piano, abbey road, old blues, vivaldi, rainy day songs",
    "shopping_list_item": "milk, eggs, brown bread, olive oil, apples, dish soap, "
    "rice, tomatoes, butter, coffee beans, paper towels, orange juice, salt, tuna",
    "todo_list_item": "call the bank, buy stamps, water the plants, pay the rent, "
    "clean the windows, fix the tap, book a flight, feed the cat, write to anna",
    "zone": "work, school, home",
}
ZH = {
    "area": "厨房, 卧室, 客厅, 浴室, 车库, 走廊, 书房, 花园, 阁楼, 地下室, 餐厅, 客房, "
    "儿童房, 洗衣房, 阳台, 主卧",
    "floor": "一, 二, 三, 四, 五, 顶",
    "timer_name": "披萨, 洗衣, 泡茶, 作业, 煮蛋, 面条, 锻炼, 午睡, 面包, 米饭",
    "timer_command": "关掉电视, 打开车库门, 锁上前门, 启动扫地机, 收起遮阳篷, "
    "放点音乐, 打开取暖器, 停止播放",
    "message": "开饭了, 该走了, 车到了, 大家晚安, 早餐好了, 请下楼, "
    "我们马上出发, 电影开始了",
    "search_query": "月亮代表我的心, 周杰伦, 早晨爵士, 邓丽君, 夏日金曲, 安静的钢琴",
    "shopping_list_item": "牛奶, 鸡蛋, 面包, 橄榄油, 苹果, 洗洁精, 大米, "
    "西红柿, 黄油, 咖啡豆, 纸巾, 橙汁, 食盐, 豆腐",
    "todo_list_item": "给银行打电话, 买邮票, 浇花, 交房租, 擦窗户, "
    "修水龙头, 订机票, 喂猫, 给小王写信",
    "zone": "公司, 学校, 家",
}
VALUES = {
    language: {name: _names(text) for name, text in lists.items()}
    | {"devices": {kind: _names(text) for kind, text in devices.items()}}
    for language, lists, devices in (
        ("en", EN, EN_DEVICES),
        ("zh", ZH, ZH_DEVICES),
    )
}
